#!lua flags=allow-oom
--[[
renew: keeps what a dispatcher holds for one lease more, and says which of it is no longer its own.

Only the owner renews, and only what it names. What it was given before `known_us` and does not name is a lease whose answer got
lost: that goes back at once, as it came.

KEYS    config      HASH    the pool's policy
        sched       HASH    when somebody last spoke
        run         STREAM  in flight
        retry       STREAM  delayed
        due         ZSET    when they are due
        idle        ZSET    where agents without work had got to
        served      ZSET    what agents were charged since they began to wait
        expiry      ZSET    deadlines
        wake        LIST    the token
ARGV    dispatcher  text    the consumer's name
        known_us    int     when its last answered lease was made
EACH    fence       text    the entry of `run`
        id          text
        upstream    text
        streamed    int     1: when it has ended its dispatcher cuts it and settles what it used, so that it is not let go of here
RETURNS now_us, then fence and word for each request that it no longer holds:
        ended (it has an outcome: the call is of no use to anybody) | lost (somebody else has it, or will)
]]
-- @include clock keys lanes counters request places outcome wake holder costs budgets upstream tally pace breaker bucket shares bills release postponing silence

local OWNED_MOST = 100000

local now_us = read_clock_us()
local settings = redis.call('HMGET', config, 'lease_us', 'poison_after')
local lease_us, poison_after, ttl_ms = tonumber(settings[1]) or 0, tonumber(settings[2]) or math.huge, read_reply_ttl_ms()
note_voice(now_us, lease_us)

local owned = {}
for _, found in ipairs(redis.call('XPENDING', run, 'dispatchers', '-', '+', OWNED_MOST, dispatcher)) do owned[found[1]] = true end

local function has_ended(id)
  local stream = split_place(redis.call('HGET', request_key(id), 'place') or '')
  return stream == nil or stream == 'dead'
end

local answer, held = { now_us }, {}
for fence, id, upstream, streamed in each() do
  if owned[fence] and holds(id, fence) then
    held[#held + 1] = fence
  else
    local ended = has_ended(id)
    if ended and streamed ~= '1' then release(fence, upstream, now_us) end
    answer[#answer + 1] = fence
    answer[#answer + 1] = ended and 'ended' or 'lost'
  end
  owned[fence] = nil
end
keep(dispatcher, held)

for fence in pairs(owned) do
  local entry = read_entry(fence)
  if entry.id and (tonumber(entry.leased_us) or math.huge) < tonumber(known_us) then
    local held = holds(entry.id, fence)
    local request = held and read_request(entry.id)
    if held and not request then end_damaged(entry.id, ttl_ms) end
    if request then postpone(entry.id, request, now_us, false, poison_after, now_us, ttl_ms) end
    if release(fence, entry.upstream, now_us, 0, 0) then correct_agent(entry, 0, 0, now_us) end
  end
end
send_bells(ttl_ms)
strike_out()
save_flights()
save_counters()
save_buckets(now_us)
return answer
