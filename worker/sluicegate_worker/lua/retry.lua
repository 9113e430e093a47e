#!lua flags=allow-oom
--[[
retry: puts requests whose call failed into the delayed retry stream; only their holder may. Past the deadline they end as expired.

KEYS    config     HASH    the pool's policy
        sched      HASH    counters
        run        STREAM  in flight
        retry      STREAM  delayed
        due        ZSET    when they are due
        idle       ZSET    where agents without work had got to
        expiry     ZSET    deadlines
        wake       LIST    the token
EACH    fence      text    the entry of `run`
        id         text
        upstream   text
        delay_us   int     until the next try, jitter included
        used       int     attempts that this failure uses up: 0 | 1
        sent       int     1: it was called; 0: it is handed back as it came
        pause_us   int     how long nothing more goes to this upstream; 0: not at all
        reason     text    of the pause; rate counts as a 429
        note       text    JSON object for the history: attempt, at, upstream, status, error
RETURNS per request: delayed | expired | dead (damaged by another's hand) | lost (no longer the caller's)
]]
-- @include clock keys lanes places outcome wake holder release history postponing bucket

local now_us = read_clock_us()
local ttl_ms, poison_after = read_reply_ttl_ms(), tonumber(redis.call('HGET', config, 'poison_after')) or math.huge

-- A pause only ever moves later; one dispatcher's news holds for all, for every lease reads it.
local function pause(upstream, pause_us, reason)
  if pause_us == 0 then return end
  local until_us = now_us + pause_us
  if until_us > (tonumber(redis.call('HGET', upstream_key(upstream), 'pause_until_us')) or 0) then
    redis.call('HSET', upstream_key(upstream), 'pause_until_us', until_us, 'pause_reason', reason)
  end
end

local function give_back(fence, id, delay_us, used, sent, note)
  if not holds(id, fence) then return 'lost' end
  local request = read_request(id)
  if not request then
    end_damaged(id, ttl_ms)
    return 'dead'
  end
  add_note(id, note)
  if used > 0 then redis.call('HINCRBY', request_key(id), 'attempts', used) end
  if sent then redis.call('HINCRBY', sched, 'retries', 1) end
  return postpone(id, request, now_us + delay_us, sent, poison_after, now_us, ttl_ms)
end

local answers = {}
for fence, id, upstream, delay_us, used, sent, pause_us, reason, note in each() do
  pause(upstream, tonumber(pause_us), reason)
  if reason == 'rate' then tally(upstream, now_us, 0, 1) end
  answers[#answers + 1] = give_back(fence, id, tonumber(delay_us), tonumber(used), sent == '1', note)
  release(fence, upstream)
end
send_bells(ttl_ms)
finish_releases()
wake_one(now_us)
return answers
