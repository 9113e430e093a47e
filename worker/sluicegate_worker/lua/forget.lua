#!lua flags=allow-oom
--[[
forget: deletes fields of a pool's hashes that hold no number, where they still hold what was found there.

KEYS    config      HASH    the pool's policy
EACH    name        text    of the hash, without the pool's prefix
        field       text
        found       text
RETURNS per field 1, or 0 where it is another by now
]]
-- @include keys

local answers = {}
for name, field, found in each() do
  local held = redis.pcall('HGET', prefix .. name, field)
  answers[#answers + 1] = held == found and redis.call('HDEL', prefix .. name, field) or 0
end
return answers
