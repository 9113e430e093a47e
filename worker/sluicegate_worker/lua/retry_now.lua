#!lua flags=allow-oom
--[[
retry_now: ends the waiting of delayed requests. They are leased next, through the bucket and no pause sooner, like anything that is due.

KEYS    config     HASH    the pool's policy
        sched      HASH    until when somebody sleeps for all
        retry      STREAM  delayed
        due        ZSET    when they are due
        idle       ZSET    where agents without work had got to
        expiry     ZSET    deadlines
        wake       LIST    the token
EACH    id         text
RETURNS per request: due | waiting | in_flight | its final state | unknown
]]
-- @include clock keys lanes counters request places outcome wake

local now_us = read_clock_us()

-- Never later than it was: what is due already keeps its turn.
local function hasten(id, entry)
  local found = redis.call('XRANGE', retry, entry, entry)[1]
  local index = found and found[2][6] == 'lone' and suspects or due
  redis.call('ZADD', index, 'LT', now_us, id)
end

local function retry_now(id)
  local reply = redis.call('GET', reply_key(id))
  if reply then return decode_reply_head(reply).state end
  local place = redis.call('HGET', request_key(id), 'place')
  if not place then return 'unknown' end
  local stream, entry = split_place(place)
  if stream ~= 'retry' then return STATES[stream] or 'waiting' end
  hasten(id, entry)
  return 'due'
end

local answers, hastened = {}, false
for id in each() do
  answers[#answers + 1] = retry_now(id)
  hastened = hastened or answers[#answers] == 'due'
end
if hastened then wake_one(now_us) end
return answers
