#!lua flags=allow-oom
--[[
bury: moves hopeless requests to the dead letters; only their holder may. The hash stays, with a time to live, for replay.

KEYS    config     HASH    the pool's policy
        sched      HASH    counters
        run        STREAM  in flight
        retry      STREAM  delayed
        due        ZSET    when they are due
        idle       ZSET    where agents without work had got to
        expiry     ZSET    deadlines
        dead       STREAM  dead letters
        wake       LIST    the token
EACH    fence      text    the entry of `run`
        id         text
        upstream   text
        reason     text    attempts | upstream_error | poison | undecodable | too_large | on_unknown | quota
        status     text    the provider's last, or empty
        problem    text    what went wrong last, in one line
        reply      bytes   the outcome as the producer reads it
        note       text    JSON object for the history
RETURNS per request: dead | lost (no longer the caller's)
]]
-- @include clock keys lanes counters request places outcome wake holder costs budgets upstream tally pace breaker bucket shares release history burial

local now_us = read_clock_us()
local ttl_ms = read_reply_ttl_ms()
local dead_ttl_ms = tonumber(redis.call('HGET', config, 'dead_ttl_ms')) or ttl_ms

local function give_up(fence, id, reason, status, problem, reply, note)
  if not holds(id, fence) then return 'lost' end
  local request = read_request(id)
  if not request then
    end_damaged(id, ttl_ms)
    return 'dead'
  end
  add_note(id, note)
  bury_request(id, request, reason, status, problem, reply, now_us, ttl_ms, dead_ttl_ms)
  return 'dead'
end

local answers = {}
for fence, id, upstream, reason, status, problem, reply, note in each() do
  answers[#answers + 1] = give_up(fence, id, reason, status, problem, reply, note)
  local entry, bucket = release(fence, upstream, now_us)
  -- A redirect has a status and is no failure; a stream that broke off has none.
  if entry and (reason == 'attempts' or reason == 'upstream_error' and status == '') then note_failure(bucket, fence, now_us) end
end
send_bells(ttl_ms)
strike_out()
save_flights()
save_counters()
save_buckets(now_us)
return answers
