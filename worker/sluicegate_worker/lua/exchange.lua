#!lua flags=allow-oom
--[[
exchange: gives requests whose slot was missed the next free slot; the old one is lost, never refunded, and nothing is sent late.

KEYS    config     HASH    the pool's policy
        sched      HASH    counts missed slots
        run        STREAM  in flight
        wake       LIST    the token
ARGV    dispatcher text    the consumer's name
        lead_us    int     how late its replies come
EACH    fence      text    its entry in `run`
        id         text
        upstream   text
RETURNS now_us, then per request its new slot_us, 0 where it is no longer the caller's, -1 where its upstream takes nothing now: its
        breaker has opened, an operator holds it, or the policy no longer has it
]]
-- @include clock keys wake holder upstream tally pace breaker bucket

local now_us = read_clock_us()
local held = redis.call('HGET', config, 'held')

-- The new slot costs as much as the old one. A probe has passed the breaker already, and every call the limits per day; where the time
-- of a breaker is over, this is the probe.
local function take_next(bucket, fence)
  if not bucket.known or held or bucket.held then return -1 end
  bucket.day_opens_us = nil
  local blocked_until_us, probes = bucket.blocked_until_us, bucket.probe == fence
  if probes then bucket.blocked_until_us = 0 end
  if bucket.blocked_until_us > now_us then return -1 end
  local entry = read_entry(fence)
  local slot_us = take_slot(bucket, now_us + tonumber(lead_us), tonumber(entry.tokens_in) or 0, tonumber(entry.tokens_out) or 0)
  bucket.blocked_until_us = blocked_until_us
  if bucket.breaker ~= '' and not probes then begin_probe(bucket, fence) end
  return slot_us
end

local answer = { now_us }
for fence, id, upstream in each() do
  local slot_us = 0
  if holds(id, fence) then
    keep(dispatcher, { fence }) -- who stalled renews before it sends: others are about to take it for dead
    slot_us = take_next(bucket_of(upstream, now_us), fence)
    redis.call('HINCRBY', sched, 'missed', 1)
  end
  answer[#answer + 1] = slot_us
end
save_buckets(now_us)
return answer
