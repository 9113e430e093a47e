#!lua flags=allow-oom
--[[
settle: delivers the provider's final answer. The first result wins, whoever holds the request: it is paid for.

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
        reply      bytes   a line of JSON, a line end, the body; empty: the call was cut, for nobody waits for its answer
        usage      text    tokens that the provider has counted, in and out, and that were really used, in and out; empty: not said
        reported   text    what the answer says of limits: dimension, limit a minute, remaining, us until all is back; - for not said
RETURNS per request: ok | late (an outcome was there before; this one is dropped) | cut
]]
-- @include clock keys lanes counters request places outcome wake holder costs budgets upstream tally pace breaker bucket shares bills release reports

local now_us = read_clock_us()
local ttl_ms = read_reply_ttl_ms()

-- Damaged, they must break this off before an outcome is written whose bell would not be rung.
redis.call('XLEN', run)
redis.call('HLEN', flying)

-- Whether any of these has an outcome already; hardly ever.
local function is_any_known()
  local replies = {}
  for _, id in each() do replies[#replies + 1] = reply_key(id) end
  return replies[1] and redis.call('EXISTS', unpack(replies)) > 0
end

local any_known, settled = is_any_known(), {}

-- What has no outcome yet ends as cancelled: who waited for it is gone.
local function cut(id, fence, request)
  if request and request.place == 'run ' .. fence then finish_unanswered(id, request, 'cancelled', now_us, ttl_ms) end
  return 'cut'
end

local function settle(id, fence, reply, request)
  if reply == '' then return cut(id, fence, request) end
  local kept = (any_known or settled[id]) and redis.call('GET', reply_key(id))
  request = request or not kept and salvage(id)
  if kept == reply then return 'ok' end -- said again, for the first answer to it got lost
  if not request or kept then
    add_up('late', 1)
    return 'late'
  end
  if request.place and request.place ~= 'run ' .. fence then leave_place(id, request.place, request.lane, request.agent, request.cost) end
  finish(id, request, 'ok', reply, ttl_ms)
  settled[id] = true
  return 'ok'
end

-- What an answer teaches: of its model's tokens, of its upstream's limits and health, and what its agent is to pay for. One that was
-- cut, perhaps before it began, only the last.
local function learn_from(fence, upstream, reply, usage, reported, request)
  local charged_in, charged_out, used_in, used_out = string.match(usage, '^(%d+) (%d+) (%d+) (%d+)$')
  local entry, bucket = release(fence, upstream, now_us, tonumber(charged_in), tonumber(charged_out), request)
  if not entry then return end
  local whole = reply ~= ''
  if whole then
    note_good(bucket, fence, now_us)
    end_episode(bucket, tonumber(entry.leased_us) or 0)
  end
  if reported ~= '' then hear_report(bucket, entry, reported, now_us) end
  if not charged_in then return end
  used_in, used_out = tonumber(used_in), tonumber(used_out)
  correct_agent(entry, cost_us(used_in, used_out), used_in + used_out, now_us)
  if request and whole then learn(request.model, tonumber(request.tokens_in), tonumber(request.tokens_out), used_in, used_out) end
end

local answers = {}
for fence, id, upstream, reply, usage, reported in each() do
  local request = read_request(id)
  answers[#answers + 1] = settle(id, fence, reply, request)
  learn_from(fence, upstream, reply, usage, reported, request)
end
send_bells(ttl_ms)
strike_out()
save_flights()
save_counters()
save_models()
save_buckets(now_us)
return answers
