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

local function take_off(agent) flights[agent] = (flights[agent] or 0) + 1 end

-- Who has work and is below its cap takes part.
local function let_in(agent)
  for lane in pairs(EPOCH_US) do
    if redis.call('EXISTS', backlog_key(lane, agent)) == 1 then enter_ring(lane, agent) end
  end
end

-- What each agent has in flight, counted anew. Whoever was kept out by the old count takes part again.
local function set_flying(counts)
  flights = {}
  local known = redis.call('HKEYS', flying)
  redis.call('DEL', flying)
  for agent, count in pairs(counts) do redis.call('HSET', flying, agent, count) end
  for _, agent in ipairs(known) do let_in(agent) end
end

local function land(agent)
  if not agent then return end
  local was_at_cap = is_at_cap(agent)
  flights[agent] = (flights[agent] or 0) - 1
  if not was_at_cap then return end
  let_in(agent)
  put_token()
end

-- Who has none left has no field.
local function save_flights()
  local agents, flown, landed = {}, {}, {}
  for agent in pairs(flights) do agents[#agents + 1] = agent end
  if not agents[1] then return end
  for at, known in ipairs(redis.call('HMGET', flying, unpack(agents))) do
    local agent = agents[at]
    local left = (tonumber(known) or 0) + flights[agent]
    if left > 0 then
      flown[#flown + 1] = agent
      flown[#flown + 1] = left
    else landed[#landed + 1] = agent end
  end
  flights = {}
  if flown[1] then redis.call('HSET', flying, unpack(flown)) end
  if landed[1] then redis.call('HDEL', flying, unpack(landed)) end
end
