-- bills: what an agent is charged once it is known what its request really took.

-- Wherever its virtual time is kept by now. `cost`: in microseconds of the pool's time.
local function correct_agent(entry, cost, tokens, now_us)
  local agent, lane = entry.agent, entry.lane
  if not agent or not EPOCH_US[lane] then return end
  spend(agent, tokens - (tonumber(entry.tokens) or 0), tonumber(entry.leased_us) or 0, now_us)
  local delta = cost - (tonumber(entry.cost) or cost)
  if delta == 0 then return end
  if redis.call('ZSCORE', served, agent) then redis.call('ZINCRBY', served, delta, agent) end
  local step, member, time_us = delta / weight_of(agent), lane .. ':' .. agent, nil
  if redis.call('ZSCORE', ring_key(lane), agent) then
    time_us = redis.call('ZINCRBY', ring_key(lane), step, agent)
  elseif redis.call('ZSCORE', idle, member) then
    time_us = redis.call('ZINCRBY', idle, step, member)
  else -- the lane's clock has passed it; perhaps not what it really cost
    time_us = (tonumber(complete(entry).start_us) or EPOCH_US[lane]) + cost / weight_of(agent)
    if time_us <= virtual_now_us(lane) then return end
    redis.call('ZADD', idle, time_us, member)
  end
  if tonumber(time_us) > (tonumber(redis.call('HGET', sched, 'finish_us:' .. lane)) or EPOCH_US[lane]) then
    redis.call('HSET', sched, 'finish_us:' .. lane, time_us)
  end
end
