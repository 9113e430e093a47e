#!lua flags=allow-oom
--[[
apply: makes a policy the pool's one truth, all of it at once, and writes down who did it. Makes the consumer group.

KEYS    config      HASH    the pool's policy
        sched       HASH    until when nothing is reclaimed
        run         STREAM  in flight
        wake        LIST    the token
        idle        ZSET    where agents without work had got to
        audit       STREAM  who changed what
ARGV    who         text    for the audit
        expected    int     the version that it is to replace; 0: only where there is none yet; -1: whatever is there
        policy      text    JSON, for people and producers
EACH    field       text    what the scripts read of the policy, computed once
        value       text
RETURNS {version in force, 1 if it is this policy's and 0 if another was there first}
]]
-- @include clock keys lanes wake shares

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
-- What an operator holds stays held.
local function read_holds()
  local fields, kept = redis.call('HGETALL', config), {}
  for at = 1, #fields, 2 do
    if string.find(fields[at], '^held') then kept[fields[at]] = fields[at + 1] end
  end
  return kept
end

local in_force, had, old_lease_us = unpack(redis.call('HMGET', config, 'version', 'policy', 'lease_us'))
if expected ~= '-1' and (tonumber(in_force) or 0) ~= tonumber(expected) then return { tonumber(in_force) or 0, had == policy and 1 or 0 } end
-- The same policy keeps its version; its fields are written all the same, for a newer release may compute more of them.
local version, holds = (tonumber(in_force) or 0) + (had == policy and 0 or 1), read_holds()
redis.call('DEL', config)
redis.call('HSET', config, 'version', version, 'policy', policy)
for field, value in pairs(holds) do redis.call('HSET', config, field, value) end
for field, value in each() do redis.call('HSET', config, field, value) end
if had == policy then return { version, 1 } end
give_time(old_lease_us)
redis.call('XADD', audit, 'MAXLEN', '~', 1000, '*', 'who', who, 'what', 'apply', 'version', version, 'policy', policy)
for _, agent in ipairs(redis.pcall('HKEYS', flying)) do let_in(agent) end -- its cap may be higher now
put_token()
return { version, 1 }
