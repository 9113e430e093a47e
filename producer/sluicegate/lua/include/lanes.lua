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

local flights = {} -- how many calls each agent has in flight more than `flying` says; `save_flights` writes it down

local function is_at_cap(agent)
  return read_cap() > 0 and (tonumber(redis.call('HGET', flying, agent)) or 0) + (flights[agent] or 0) >= read_cap()
end

-- Start-time fair queueing: who comes back starts at the lane's clock, or where it had got to, whichever is later. Who is at its cap
-- comes back when one of its calls ends.
local function enter_ring(lane, ...)
  local ring, agents, members = ring_key(lane), {}, {}
  for at, time_us in ipairs(redis.call('ZMSCORE', ring, ...)) do
    local agent = select(at, ...)
    if not time_us and not is_at_cap(agent) then
      agents[#agents + 1] = agent
      members[#members + 1] = lane .. ':' .. agent
    end
  end
  if not agents[1] then return end
  local now_us, times = virtual_now_us(lane), {}
  for at, kept_us in ipairs(redis.call('ZMSCORE', idle, unpack(members))) do
    times[2 * at - 1] = math.max(now_us, tonumber(kept_us) or EPOCH_US[lane])
    times[2 * at] = agents[at]
  end
  redis.call('ZADD', ring, unpack(times))
  redis.call('ZREM', idle, unpack(members))
end
