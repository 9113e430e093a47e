-- shares: how much one agent may have: its weight by the pool's patterns, of which the first that fits counts, and its calls in flight.
local weights, weight_by_agent

local function weight_of(agent)
  if not weights then
    local read, found = pcall(cjson.decode, redis.call('HGET', config, 'weights') or '[]')
    weights, weight_by_agent = read and found or {}, {}
  end
  if not weight_by_agent[agent] then
    weight_by_agent[agent] = 1
    for _, pair in ipairs(weights) do
      if string.find(agent, pair[1]) then
        weight_by_agent[agent] = pair[2]
        break
      end
    end
  end
  return weight_by_agent[agent]
end

local function take_off(agent) redis.call('HINCRBY', flying, agent, 1) end

-- Who has work and is below its cap takes part.
local function let_in(agent)
  for lane in pairs(EPOCH_US) do
    if redis.call('EXISTS', backlog_key(lane, agent)) == 1 then enter_ring(lane, agent) end
  end
end

-- What each agent has in flight, counted anew. Whoever was kept out by the old count takes part again.
local function set_flying(counts)
  local known = redis.call('HKEYS', flying)
  redis.call('DEL', flying)
  for agent, count in pairs(counts) do redis.call('HSET', flying, agent, count) end
  for _, agent in ipairs(known) do let_in(agent) end
end

local function land(agent)
  if not agent then return end
  local was_at_cap = is_at_cap(agent)
  if redis.call('HINCRBY', flying, agent, -1) <= 0 then redis.call('HDEL', flying, agent) end
  if not was_at_cap then return end
  let_in(agent)
  put_token()
end
