-- rings: the first agents of each lane's ring, held in memory while requests are picked. What changes is written once, by `save_rings`.
local rings = {}

-- As a ZSET orders its members.
local function comes_before(time_us, agent, other_us, other) return time_us < other_us or time_us == other_us and agent < other end

-- `agents` and `times` from `first` on are the ring's next, and those beyond `last` are not known. `moved`: new times, false for who left.
local function load_ring(lane, size)
  local found = redis.call('ZRANGE', ring_key(lane), 0, size - 1, 'WITHSCORES')
  local ring = { size = size, agents = {}, times = {}, first = 1, moved = {}, at = {}, whole = #found < 2 * size }
  for place = 1, #found / 2 do
    ring.agents[place], ring.times[place] = found[2 * place - 1], tonumber(found[2 * place])
    ring.at[ring.agents[place]] = ring.times[place]
  end
  ring.last, ring.last_us = ring.agents[#ring.agents], ring.times[#ring.times]
  rings[lane] = ring
  return ring
end

local function save_rings()
  for lane, ring in pairs(rings) do
    local times, gone = {}, {}
    for agent, time_us in pairs(ring.moved) do
      if time_us then
        times[#times + 1] = time_us
        times[#times + 1] = agent
      else gone[#gone + 1] = agent end
    end
    ring.moved = {}
    if times[1] then redis.call('ZADD', ring_key(lane), unpack(times)) end
    if gone[1] then redis.call('ZREM', ring_key(lane), unpack(gone)) end
  end
end

-- Who is next, and its time; nil where nobody waits.
local function ring_head(lane)
  local ring = rings[lane]
  if not ring.agents[ring.first] and not ring.whole then
    save_rings()
    ring = load_ring(lane, ring.size)
  end
  return ring.agents[ring.first], ring.times[ring.first]
end

-- Where it stands among those that are known, or would.
local function find_place(ring, time_us, agent)
  local low, high = ring.first, #ring.agents + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if comes_before(ring.times[middle], ring.agents[middle], time_us, agent) then low = middle + 1 else high = middle end
  end
  return low
end

local function leave_window(ring, agent)
  local time_us = ring.at[agent]
  if not time_us then return end
  ring.at[agent] = nil
  local place = find_place(ring, time_us, agent)
  if place == ring.first then
    ring.first = ring.first + 1
  else
    table.remove(ring.agents, place)
    table.remove(ring.times, place)
  end
end

-- `time_us`: nil where it leaves the ring.
local function move_in_ring(lane, agent, time_us)
  local ring = rings[lane]
  leave_window(ring, agent)
  ring.moved[agent] = time_us or false
  if time_us and (ring.whole or ring.last and comes_before(time_us, agent, ring.last_us, ring.last)) then
    local place = find_place(ring, time_us, agent)
    table.insert(ring.agents, place, agent)
    table.insert(ring.times, place, time_us)
    ring.at[agent] = time_us
  end
end

local function time_in_ring(lane, agent)
  local ring = rings[lane]
  if ring.moved[agent] ~= nil then return ring.moved[agent] or nil end
  return ring.at[agent] or tonumber(redis.call('ZSCORE', ring_key(lane), agent))
end
