#!lua flags=allow-oom
--[[
apply: makes a policy the pool's one truth, all of it at once, and writes down who did it. Makes the consumer group.

KEYS    config      HASH    the pool's policy
        sched       HASH    until when nothing is reclaimed
        run         STREAM  in flight
        wake        LIST    the token
        audit       STREAM  who changed what
ARGV    who         text    for the audit
        replace     int     1: in any case; 0: only where there is no policy yet
        policy      text    JSON, for people and producers
EACH    field       text    what the scripts read of the policy, computed once
        value       text
RETURNS {version in force, 1 if it is this one and 0 if another was there first}
]]
-- @include clock keys

local function ensure_group()
  local made = redis.pcall('XGROUP', 'CREATE', run, 'dispatchers', '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
end

local HEARD_WITHIN_US = 10000000 -- every dispatcher asks at least once in five seconds

-- Who has not heard of a shorter lease yet renews in the rhythm of the longer one, and is not dead for it.
local function give_time(old_lease_us)
  local old_us, new_us = tonumber(old_lease_us) or 0, tonumber(redis.call('HGET', config, 'lease_us')) or 0
  if new_us < old_us then redis.pcall('HSET', sched, 'grace_until_us', read_clock_us() + math.min(old_us, HEARD_WITHIN_US)) end
end

local refused = ensure_group()
if refused then return refused end
local held, had, old_lease_us = unpack(redis.call('HMGET', config, 'version', 'policy', 'lease_us'))
if held and replace == '0' then return { tonumber(held), had == policy and 1 or 0 } end
-- The same policy keeps its version; its fields are written all the same, for a newer release may compute more of them.
local version = (tonumber(held) or 0) + (had == policy and 0 or 1)
redis.call('DEL', config)
redis.call('HSET', config, 'version', version, 'policy', policy)
for field, value in each() do redis.call('HSET', config, field, value) end
if had == policy then return { version, 1 } end
give_time(old_lease_us)
redis.call('XADD', audit, 'MAXLEN', '~', 1000, '*', 'who', who, 'what', 'apply', 'version', version, 'policy', policy)
if redis.call('LLEN', wake) == 0 then redis.call('RPUSH', wake, '1') end
return { version, 1 }
