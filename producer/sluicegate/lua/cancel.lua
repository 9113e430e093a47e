#!lua flags=allow-oom
--[[
cancel: ends requests that are not answered yet; a call in flight is no longer waited for, and its late answer is dropped.

KEYS    config     HASH    the pool's policy
        sched      HASH    counters, virtual time
        retry      STREAM  delayed requests
        due        ZSET    when they are due
        idle       ZSET    where agents without work had got to
        expiry     ZSET    deadlines
EACH    id         text
RETURNS per request its final state: cancelled, or ok | dead | expired where that was there first, or unknown
]]
-- @include clock keys lanes counters request places outcome

local now_us = read_clock_us()
local ttl_ms = read_reply_ttl_ms()

local function cancel(id)
  local reply = redis.call('GET', reply_key(id))
  if reply then return decode_reply_head(reply).state end
  local request = read_request(id)
  if not request then
    end_damaged(id, ttl_ms)
    return redis.call('EXISTS', reply_key(id)) == 1 and 'dead' or 'unknown'
  end
  finish_unanswered(id, request, 'cancelled', now_us, ttl_ms)
  return 'cancelled'
end

local states = {}
for id in each() do states[#states + 1] = cancel(id) end
send_bells(ttl_ms)
save_counters()
return states
