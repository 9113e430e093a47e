#!lua flags=no-writes
--[[
survey: a step through all keys of a pool, with the type of each. A key may come twice.

KEYS    config      HASH    the pool's policy
ARGV    cursor      text    0, then what the last step answered
        count       int     how many keys of the server to look at, about
RETURNS {next cursor, 0 at the end; name without the pool's prefix, type, …}
]]
-- @include keys types

local found = redis.call('SCAN', cursor, 'MATCH', prefix .. '*', 'COUNT', count)
local answer = { found[1] }
for _, key in ipairs(found[2]) do
  answer[#answer + 1] = string.sub(key, #prefix + 1)
  answer[#answer + 1] = type_of(key)
end
return answer
