#!lua flags=allow-oom
--[[
hold: an operator pauses a pool or one of its upstreams, or lets it go on. Going on also ends what the provider brought about: pauses
and open breakers; the rate starts slowly where a breaker was open. What is in flight is not touched.

KEYS    config      HASH    the pool's policy
        sched       HASH    until when somebody sleeps for all
        run         STREAM  in flight
        wake        LIST    the token
        audit       STREAM  who changed what
ARGV    who         text    for the audit
        upstream    text    empty: the whole pool
        held        int     1: pause · 0: go on
RETURNS "no pool" | "no upstream" | 1, or 0 where it was so already
]]
-- @include clock keys wake holder upstream tally pace breaker bucket

local now_us = read_clock_us()
local field = upstream == '' and 'held' or 'held:' .. upstream

local function free(name)
  local bucket = bucket_of(name, now_us)
  local changed = bucket.pause_until_us > now_us or bucket.breaker ~= ''
  if bucket.breaker ~= '' then close_breaker(bucket, now_us) end
  set(bucket, 'pause_until_us', 0)
  set(bucket, 'pause_reason', '')
  redis.call('HDEL', upstream_key(name), 'turn', 'turn_until_us') -- whoever sleeps for it would sleep too long
  return changed
end

local version = redis.call('HGET', config, 'version')
if not version then return 'no pool' end
if upstream ~= '' and redis.call('HEXISTS', config, 'price_us:' .. upstream) == 0 then return 'no upstream' end
local changed
if held == '1' then
  changed = redis.call('HSET', config, field, 1) == 1
else
  changed = redis.call('HDEL', config, field) == 1
  for name in string.gmatch(upstream == '' and redis.call('HGET', config, 'upstreams') or upstream, '%S+') do
    changed = free(name) or changed
  end
  save_buckets(now_us)
  redis.call('HDEL', sched, 'asleep_until_us')
  put_token()
end
if not changed then return 0 end
redis.call('XADD', audit, 'MAXLEN', '~', 1000, '*', 'who', who, 'what', held == '1' and 'pause' or 'resume', 'upstream', upstream)
return 1
