#!lua flags=allow-oom
--[[
drop: deletes dead letters for good. What a producer may still ask for, the reply, stays as long as any other reply does.

KEYS    config     HASH    the pool's policy
        dead       STREAM  dead letters
        audit      STREAM  who changed what
ARGV    who        text    for the audit
EACH    entry      text    the letter
        id         text    the request that it is of; empty where it names none
RETURNS per letter: dropped | gone (it was not there)
]]
-- @include keys

local reply_ttl_ms = tonumber(redis.call('HGET', config, 'reply_ttl_ms')) or 0

-- A request that was replayed meanwhile, and may be dead again, is not this letter's any more.
local function forget(entry, id)
  if redis.call('HGET', request_key(id), 'place') ~= 'dead ' .. entry then return 0 end
  if redis.call('PTTL', reply_key(id)) > reply_ttl_ms then redis.call('PEXPIRE', reply_key(id), reply_ttl_ms) end
  return redis.call('DEL', request_key(id))
end

local answers, dropped = {}, 0
for entry, id in each() do
  local found = forget(entry, id) + redis.call('XDEL', dead, entry)
  if found > 0 then dropped = dropped + 1 end
  answers[#answers + 1] = found > 0 and 'dropped' or 'gone'
end
if dropped > 0 then
  if redis.call('XLEN', dead) == 0 then redis.call('DEL', dead) end
  redis.call('XADD', audit, 'MAXLEN', '~', 1000, '*', 'who', who, 'what', 'drop', 'count', dropped)
end
return answers
