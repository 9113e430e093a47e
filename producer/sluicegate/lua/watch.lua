#!lua flags=allow-oom
--[[
watch: the outcome of requests, or their state and a place among those who are rung at the outcome.

A request past its deadline that still waits is answered here as expired: it can no longer be sent, whether a dispatcher runs or not.
One in flight has a lease more: whoever holds it cuts it at its deadline, unless that one and all others are gone.

KEYS    config     HASH    the pool's policy
        sched      HASH    counters, virtual time
        retry      STREAM  delayed requests
        due        ZSET    when they are due
        idle       ZSET    where agents without work had got to
        expiry     ZSET    deadlines
ARGV    producer   text    whose inbox is rung; empty: nobody's
EACH    id         text
RETURNS per request {final, reply} | {waiting | in_flight | delayed | unknown}
]]
-- @include clock keys lanes counters request places outcome watchers

local now_us = read_clock_us()
local ttl_ms, lease_us = read_reply_ttl_ms(), tonumber(redis.call('HGET', config, 'lease_us')) or 0

local function look(id)
  local reply = redis.call('GET', reply_key(id))
  if reply then return { 'final', reply } end
  local request = read_request(id)
  if not request then
    end_damaged(id, ttl_ms)
    reply = redis.call('GET', reply_key(id))
    return reply and { 'final', reply } or { 'unknown' }
  end
  local stream = split_place(request.place)
  if tonumber(request.deadline_us) + (stream == 'run' and lease_us or 0) <= now_us then
    finish_unanswered(id, request, 'expired', now_us, ttl_ms)
    return { 'final', redis.call('GET', reply_key(id)) }
  end
  if producer ~= '' then join_watchers(id, request.watchers or '', producer) end
  return { STATES[stream] or 'waiting' }
end

local answers = {}
for id in each() do answers[#answers + 1] = look(id) end
send_bells(ttl_ms)
save_counters()
return answers
