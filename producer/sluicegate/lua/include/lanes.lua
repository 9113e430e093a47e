-- lanes: virtual time of each lane, and how an agent enters and leaves the ring without losing what it was charged.
-- Both lanes share the ZSET `idle`: interactive time counts up from 0, batch time from -4e15, so that their stretches never meet.
local EPOCH_US = { interactive = 0, batch = -4000000000000000 }

local function virtual_now_us(lane)
  return tonumber(redis.call('HGET', sched, 'virtual_us:' .. lane)) or EPOCH_US[lane]
end

-- An agent without work keeps its virtual time in `idle` while it lies ahead of the lane's clock: no credit for leaving and coming back.
local function leave_ring(lane, agent)
  local time_us = redis.call('ZSCORE', ring_key(lane), agent)
  if not time_us then return end
  redis.call('ZREM', ring_key(lane), agent)
  if tonumber(time_us) > virtual_now_us(lane) then redis.call('ZADD', idle, time_us, lane .. ':' .. agent) end
end

local most_in_flight

-- How many calls one agent may have in flight; 0: any number.
local function read_cap()
  most_in_flight = most_in_flight or tonumber(redis.call('HGET', config, 'max_in_flight_per_agent')) or 0
  return most_in_flight
end

local function is_at_cap(agent)
  return read_cap() > 0 and (tonumber(redis.call('HGET', flying, agent)) or 0) >= read_cap()
end

-- Start-time fair queueing: who comes back starts at the lane's clock, or where it had got to, whichever is later. Who is at its cap
-- comes back when one of its calls ends.
local function enter_ring(lane, agent)
  local ring, member = ring_key(lane), lane .. ':' .. agent
  if redis.call('ZSCORE', ring, agent) or is_at_cap(agent) then return end
  local time_us = math.max(virtual_now_us(lane), tonumber(redis.call('ZSCORE', idle, member)) or EPOCH_US[lane])
  redis.call('ZADD', ring, time_us, agent)
  redis.call('ZREM', idle, member)
end
