#!lua flags=allow-oom
--[[
exchange: gives requests whose slot was missed the next free slot; the old one is lost, never refunded, and nothing is sent late.

KEYS    config     HASH    the pool's policy
        sched      HASH    counts missed slots
        run        STREAM  in flight
ARGV    dispatcher text    the consumer's name
        lead_us    int     how late its replies come
EACH    fence      text    its entry in `run`
        id         text
        upstream   text
RETURNS now_us, then per request its new slot_us, 0 where it is no longer the caller's, -1 where the policy no longer has the upstream
]]
-- @include clock keys holder bucket

local now_us = read_clock_us()
local buckets, answer = {}, { now_us }
for fence, id, upstream in each() do
  local slot_us = 0
  if holds(id, fence) then
    keep(dispatcher, { fence }) -- who stalled renews before it sends: others are about to take it for dead
    buckets[upstream] = buckets[upstream] or open_bucket(upstream, now_us)
    slot_us = buckets[upstream] and take_slot(buckets[upstream], now_us + tonumber(lead_us)) or -1
    redis.call('HINCRBY', sched, 'missed', 1)
  end
  answer[#answer + 1] = slot_us
end
for _, bucket in pairs(buckets) do close_bucket(bucket, now_us, 0) end
return answer
