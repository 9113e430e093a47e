#!lua flags=allow-oom
--[[
retry: puts requests whose call failed into the delayed retry stream; only their holder may. Past the deadline they end as expired.

KEYS    config     HASH    the pool's policy
        sched      HASH    counters
        run        STREAM  in flight
        retry      STREAM  delayed
        due        ZSET    when they are due
        idle       ZSET    where agents without work had got to
        served     ZSET    what agents were charged since they began to wait
        expiry     ZSET    deadlines
        wake       LIST    the token
EACH    fence      text    the entry of `run`
        id         text
        upstream   text
        delay_us   int     until the next try, jitter included
        used       int     attempts that this failure uses up: 0 | 1
        sent       int     1: it was called; 0: it is handed back as it came
        pause_us   int     how long nothing more goes to this upstream; 0: not at all, or as long as its breaker says
        fault      text    whose: failure (of this call) | overload | rate | ramp | quota | credentials (of the upstream) | empty: nobody's
        note       text    JSON object for the history: attempt, at, upstream, status, error
RETURNS per request: delayed | expired | dead (damaged by another's hand) | lost (no longer the caller's)
]]
-- @include clock keys lanes counters request places outcome wake holder costs budgets upstream tally pace breaker bucket shares bills release history postponing

local now_us = read_clock_us()
local ttl_ms, poison_after = read_reply_ttl_ms(), tonumber(redis.call('HGET', config, 'poison_after')) or math.huge

-- A pause only ever moves later; one dispatcher's news holds for all, for every lease reads it.
local function pause(bucket, pause_us, reason)
  local until_us = now_us + pause_us
  if pause_us == 0 or until_us <= bucket.pause_until_us then return end
  set(bucket, 'pause_until_us', until_us)
  set(bucket, 'pause_reason', reason)
end

-- What the failure says of the upstream: a fact about its key, whoever tells it, and the rest only of a call that was still held. A
-- provider that refuses for the rate is well: its probe has been answered.
local function blame(bucket, fence, fault, pause_us, leased_us)
  if fault == 'quota' or fault == 'credentials' then return note_useless(bucket, fault, fence, pause_us, now_us) end
  pause(bucket, pause_us, fault)
  if not leased_us then return end
  if fault == 'failure' or fault == 'overload' then return note_failure(bucket, fence, now_us) end
  if fault ~= 'rate' and fault ~= 'ramp' then return end
  tally(bucket.name, now_us, 'refusals', 1)
  if bucket.probe == fence then close_breaker(bucket, now_us) end
  if fault == 'ramp' then return stop_growth(bucket, leased_us, now_us) end
  pause(bucket, slow_down(bucket, leased_us, now_us), fault)
end

-- A refused request has used no tokens, and one that was not sent has cost its agent nothing. Returns when it was handed out.
local function let_go(fence, upstream, sent, fault)
  local unused = not sent or fault == 'rate' or fault == 'ramp' or fault == 'quota' or fault == 'credentials'
  local entry = release(fence, upstream, now_us, unused and 0 or nil, unused and 0 or nil)
  if entry and unused then correct_agent(entry, sent and tonumber(entry.cost) or 0, 0, now_us) end
  return entry and (tonumber(entry.leased_us) or 0)
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
  if sent then add_up('retries', 1) end
  return postpone(id, request, now_us + delay_us, sent, poison_after, now_us, ttl_ms)
end

local answers = {}
for fence, id, upstream, delay_us, used, sent, pause_us, fault, note in each() do
  answers[#answers + 1] = give_back(fence, id, tonumber(delay_us), tonumber(used), sent == '1', note)
  local leased_us = let_go(fence, upstream, sent == '1', fault)
  blame(bucket_of(upstream, now_us), fence, fault, tonumber(pause_us), leased_us)
end
send_bells(ttl_ms)
strike_out()
save_flights()
save_counters()
save_buckets(now_us)
wake_one(now_us)
return answers
