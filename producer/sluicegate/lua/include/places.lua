-- places: where a waiting request is, and how it leaves there. `place` in the request's hash is '<stream> <entry>'.
local STATES = { backlog = 'waiting', run = 'in_flight', retry = 'delayed', dead = 'dead' }

-- Nothing where another's hand has written what is no entry of a stream: Redis would refuse it, and break off whatever comes along.
local function split_place(place)
  local stream, ms, number = string.match(place or '', '^(%a+) (%d+)%-(%d+)$')
  if stream and #ms <= 15 and #number <= 18 then return stream, ms .. '-' .. number end
end

-- How many wait, and how much of the pool's time they will probably take: `cost` in microseconds, as it was when they were accepted.
local function count_waiting(requests, cost)
  add_up('waiting', requests)
  add_up('waiting_cost', cost)
end

-- Returns the request's place. It is to be written down, and the agent is to enter the ring.
local function append_to_backlog(id, lane, agent, cost)
  local entry = redis.call('XADD', backlog_key(lane, agent), '*', 'id', id)
  count_waiting(1, cost)
  return 'backlog ' .. entry
end

local function enter_backlog(id, lane, agent, cost)
  redis.call('HSET', request_key(id), 'place', append_to_backlog(id, lane, agent, cost))
  enter_ring(lane, agent)
end

-- `kind`: later (not before a time), retry, or lone: what may be the death of its dispatcher waits apart, to be leased alone.
-- Returns the request's place, which is written down.
local function enter_delay(id, agent, due_us, kind)
  local entry = redis.call('XADD', retry, '*', 'id', id, 'agent', agent, 'kind', kind, 'due_us', due_us)
  redis.call('ZADD', kind == 'lone' and suspects or due, due_us, id)
  redis.call('HSET', request_key(id), 'place', 'retry ' .. entry)
  return 'retry ' .. entry
end

-- An empty stream is a key like any other: the last one out deletes it.
local function leave_delay(id, entry)
  redis.call('XDEL', retry, entry)
  if redis.call('XLEN', retry) == 0 then redis.call('DEL', retry) end
  redis.call('ZREM', due, id)
  redis.call('ZREM', suspects, id)
end

-- Takes a request out of where it waits; one in flight stays in `run` until its holder lets go of it.
local function leave_place(id, place, lane, agent, cost)
  local stream, entry = split_place(place)
  if stream == 'backlog' then
    local backlog = backlog_key(lane, agent)
    if redis.call('XDEL', backlog, entry) == 1 then count_waiting(-1, 0 - (tonumber(cost) or 0)) end
    if redis.call('XLEN', backlog) == 0 then
      redis.call('DEL', backlog)
      leave_ring(lane, agent)
    end
  elseif stream == 'retry' then
    leave_delay(id, entry)
  end
  redis.call('ZREM', expiry, id)
end
