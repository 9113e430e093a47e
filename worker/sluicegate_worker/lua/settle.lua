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
        reply      bytes   a line of JSON, a line end, the body
        usage      text    tokens that the provider has counted, in and out, and that were really used, in and out; empty: not said
        reported   text    what the answer says of limits: dimension, limit a minute, remaining, us until all is back; - for not said
RETURNS per request: ok | late (an outcome was there before; this one is dropped)
]]
-- @include clock keys lanes places outcome wake holder costs budgets upstream tally pace breaker bucket shares bills release reports

local now_us = read_clock_us()
local ttl_ms = read_reply_ttl_ms()

local function settle(id, fence, reply)
  local kept = redis.call('GET', reply_key(id))
  local request = read_request(id) or not kept and salvage(id)
  if kept == reply then return 'ok' end -- said again, for the first answer to it got lost
  if not request or kept then
    redis.call('HINCRBY', sched, 'late', 1)
    return 'late'
  end
  if request.place and request.place ~= 'run ' .. fence then leave_place(id, request.place, request.lane, request.agent, request.cost) end
  finish(id, request, 'ok', reply, ttl_ms)
  return 'ok'
end

redis.call('XLEN', run) -- damaged, it must break this off before an outcome is written whose bell would not be rung
-- What an answer teaches: of its model's tokens, of its upstream's limits and health, and what its agent is to pay for.
local function learn_from(id, fence, upstream, usage, reported, estimate)
  local charged_in, charged_out, used_in, used_out = string.match(usage, '^(%d+) (%d+) (%d+) (%d+)$')
  local entry, bucket = release(fence, upstream, now_us, tonumber(charged_in), tonumber(charged_out))
  if not entry then return end
  note_good(bucket, fence, now_us)
  end_episode(bucket, tonumber(entry.leased_us) or 0)
  hear_report(bucket, entry, reported, now_us)
  if not charged_in then return end
  used_in, used_out = tonumber(used_in), tonumber(used_out)
  correct_agent(entry, cost_us(used_in, used_out), used_in + used_out, now_us)
  local model, tokens_in, tokens_out = unpack(estimate)
  if is_count(tokens_in) and tonumber(tokens_out) then learn(model or '', tonumber(tokens_in), tonumber(tokens_out), used_in, used_out) end
end

local answers = {}
for fence, id, upstream, reply, usage, reported in each() do
  local estimate = redis.call('HMGET', request_key(id), 'model', 'tokens_in', 'tokens_out')
  answers[#answers + 1] = settle(id, fence, reply)
  learn_from(id, fence, upstream, usage, reported, estimate)
end
send_bells(ttl_ms)
save_buckets(now_us)
return answers
