-- picking: whose request is next. Retries in due order have a share of the slots, lane batch a minimum, and within a lane the
-- agent with the smallest virtual time is next. Nothing is moved here but the ring.
local LOST_AT_ONCE = 100
local CAPPED_US = 1000000
-- `backlogs`: the entries that were read of each; `parked` and `charged`: what is to be written to `idle` and `served`.
local picker = { backlogs = {}, parked = {}, charged = {}, due_at = 1, lost = 0 }

-- `lone`: the one request that may be picked, if there is such.
local function load_picker(now_us, count, lone)
  redis.call('ZCARD', served) -- another's key of that name must break this off: it is deleted when all has been served
  picker.now_us, picker.alone, picker.count = now_us, lone, count
  picker.due = lone and { lone } or redis.call('ZRANGEBYSCORE', due, '-inf', now_us, 'LIMIT', 0, count)
  local shares = redis.call('HMGET', config, 'retry_share', 'batch_share')
  picker.retry_share, picker.batch_share = tonumber(shares[1]), tonumber(shares[2])
  local kept = redis.call('HMGET', sched, 'retry_credit', 'batch_credit', 'virtual_us:interactive', 'finish_us:interactive',
    'virtual_us:batch', 'finish_us:batch')
  for at = 1, #kept do kept[at] = tonumber(kept[at]) end
  picker.retry_credit, picker.batch_credit = kept[1] or 1, kept[2] or 0
  picker.clocks = {}
  for at, lane in ipairs({ 'interactive', 'batch' }) do
    picker.clocks[lane] = { now_us = kept[2 * at + 1] or EPOCH_US[lane], finish_us = kept[2 * at + 2] or EPOCH_US[lane] }
    load_ring(lane, count + 1)
  end
end

-- What a request carries to be sent, or nil where there is no request or another's hand has damaged it.
local function read_carried(id)
  local facts, place, sends, attempts, head, body =
    unpack(redis.call('HMGET', request_key(id), 'facts', 'place', 'sends', 'attempts', 'head', 'body'))
  local agent, lane, deadline_us, cost, tokens_in, tokens_out, model = read_order(facts)
  sends, attempts = sends or '0', attempts or '0'
  if not agent or not head or not body or not is_count(sends) or not is_count(attempts) or not split_place(place) then return nil end
  return { facts = facts, agent = agent, lane = lane, place = place, sends = sends, attempts = attempts, head = head, body = body,
    deadline_us = tonumber(deadline_us), cost = cost, tokens_in = tonumber(tokens_in), tokens_out = tonumber(tokens_out), model = model }
end

-- What broke off after its outcome was written has left only its entry behind.
local function has_ended(id)
  return id and redis.call('EXISTS', request_key(id)) == 0 and redis.call('EXISTS', reply_key(id)) == 1
end

-- More of what an agent has waiting, if there is more.
local function read_on(backlog, known)
  local ring, from = rings[known.lane], known.entries[#known.entries]
  local most = math.ceil(picker.count / math.max(1, #ring.agents - ring.first + 1)) + 1
  local found = redis.call('XRANGE', backlog, from and '(' .. from[1] or '-', '+', 'COUNT', most)
  for _, entry in ipairs(found) do known.entries[#known.entries + 1] = entry end
  known.whole = #found < most
end

-- The next entry of the agent's backlog that this call has not taken yet, and whether others lie behind it.
local function next_entry(backlog, lane)
  local known = picker.backlogs[backlog] or { entries = {}, at = 0, claimed = {}, lane = lane }
  picker.backlogs[backlog] = known
  if known.at + 1 >= #known.entries and not known.whole then read_on(backlog, known) end
  if known.at == #known.entries then return nil, false end
  known.at = known.at + 1
  return known.entries[known.at], known.at < #known.entries
end

-- What it will probably take and cost, and how far that moves its agent's virtual time.
local function appraise(carried)
  local tokens_in, tokens_out = predict(carried.model, carried.tokens_in, carried.tokens_out)
  local cost = cost_us(tokens_in, tokens_out)
  return { tokens_in = tokens_in, tokens_out = tokens_out, asked_out = carried.tokens_out, cost = cost,
    step = cost / weight_of(carried.agent) }
end

local function charge(lane, agent, time_us, price, now_us)
  local clock = picker.clocks[lane]
  clock.finish_us = math.max(clock.finish_us, time_us)
  picker.charged[agent] = (picker.charged[agent] or 0) + price.cost
  spend(agent, price.tokens_in + price.tokens_out, now_us, now_us)
  take_off(agent)
end

local function park(lane, agent, time_us)
  move_in_ring(lane, agent, nil)
  if time_us > picker.clocks[lane].now_us then picker.parked[lane .. ':' .. agent] = time_us end
end

local function take_fresh(lane, agent, start_us, picked, more)
  local clock = picker.clocks[lane]
  clock.now_us = math.max(clock.now_us, start_us)
  picked.price, picked.start_us = appraise(picked.carried), start_us
  local time_us = start_us + picked.price.step
  charge(lane, agent, time_us, picked.price, picker.now_us)
  if more and not is_at_cap(agent) then move_in_ring(lane, agent, time_us) else park(lane, agent, time_us) end
  return picked
end

local function pick_fresh(lane)
  while picker.lost < LOST_AT_ONCE do
    local agent, start_us = ring_head(lane)
    if not agent then return nil end
    local backlog, capped = backlog_key(lane, agent), is_at_cap(agent) -- perhaps by the other lane
    local entry, more = nil, false
    if not capped then entry, more = next_entry(backlog, lane) end
    local id = entry and entry[2][1] == 'id' and entry[2][2]
    local carried = id and read_carried(id)
    if capped then park(lane, agent, start_us)
    elseif not entry then -- this call has taken or dropped all it had
      park(lane, agent, start_us)
      picker.lost = picker.lost + 1
    elseif not carried and has_ended(id) then return { double = true, from = backlog, entry = entry[1] }
    elseif not carried then return { undecodable = entry[2], id = id, from = backlog, entry = entry[1] }
    elseif carried.place ~= 'backlog ' .. entry[1] then return { double = true, from = backlog, entry = entry[1] }
    elseif carried.deadline_us <= picker.now_us then return { expired = id, from = backlog }
    elseif barred_us(agent, picker.now_us) > 0 then
      return { barred = id, from = backlog, entry = entry[1], carried = carried, until_us = picker.now_us + barred_us(agent, picker.now_us) }
    else return take_fresh(lane, agent, start_us, { id = id, from = backlog, entry = entry[1], carried = carried, fresh = true }, more) end
  end
end

-- A retry is charged like any call that is sent, wherever its agent's virtual time is kept now.
local function pick_retry()
  local id = picker.due[picker.due_at]
  picker.due_at = picker.due_at + 1
  local carried = read_carried(id)
  if not carried and has_ended(id) then return { double = true, due = id } end
  if not carried then return { undecodable = { id }, id = id, due = id } end
  local lane, agent = carried.lane, carried.agent
  local stream, entry = split_place(carried.place)
  if stream ~= 'retry' then return { double = true, due = id } end
  if carried.deadline_us <= picker.now_us then return { expired = id } end
  if is_at_cap(agent) then
    redis.call('ZADD', picker.alone and suspects or due, picker.now_us + CAPPED_US, id)
    return { capped = true }
  end
  local price, start_us, member = appraise(carried), time_in_ring(lane, agent), lane .. ':' .. agent
  if start_us then
    move_in_ring(lane, agent, start_us + price.step)
    charge(lane, agent, start_us + price.step, price, picker.now_us)
    if is_at_cap(agent) then park(lane, agent, start_us + price.step) end
  else
    local kept_us = picker.parked[member] or tonumber(redis.call('ZSCORE', idle, member)) or EPOCH_US[lane]
    start_us = math.max(picker.clocks[lane].now_us, kept_us)
    charge(lane, agent, start_us + price.step, price, picker.now_us)
    picker.parked[member] = start_us + price.step
  end
  return { id = id, from = retry, entry = entry, due = id, carried = carried, price = price, start_us = start_us }
end

local function fresh_waits(lane) return ring_head(lane) ~= nil end

local function pick()
  if picker.alone then return picker.due[picker.due_at] and pick_retry() end
  local interactive, batch = fresh_waits('interactive'), fresh_waits('batch')
  if picker.due[picker.due_at] then
    if not interactive and not batch then return pick_retry() end
    picker.retry_credit = math.min(1 + picker.retry_share, picker.retry_credit + picker.retry_share)
    if picker.retry_credit >= 1 then
      picker.retry_credit = picker.retry_credit - 1
      return pick_retry()
    end
  end
  if not interactive then return batch and pick_fresh('batch') end
  if batch then
    picker.batch_credit = picker.batch_credit + picker.batch_share
    if picker.batch_credit >= 1 then
      picker.batch_credit = picker.batch_credit - 1
      return pick_fresh('batch') or pick_fresh('interactive')
    end
  end
  return pick_fresh('interactive') or batch and pick_fresh('batch')
end

-- Where agents without work have got to, while that lies ahead of their lane's clock; who has been passed is forgiven what it was
-- charged.
local function save_idle()
  local ahead, passed = {}, {}
  for member, time_us in pairs(picker.parked) do
    local lane, agent = string.match(member, '^(%a+):(.*)$')
    if time_us > picker.clocks[lane].now_us then
      ahead[#ahead + 1] = time_us
      ahead[#ahead + 1] = member
    else passed[#passed + 1] = agent end
  end
  if ahead[1] then redis.call('ZADD', idle, unpack(ahead)) end
  for lane, clock in pairs(picker.clocks) do
    local members = redis.call('ZRANGEBYSCORE', idle, EPOCH_US[lane], clock.now_us, 'LIMIT', 0, 500)
    if members[1] then redis.call('ZREM', idle, unpack(members)) end
    for _, member in ipairs(members) do passed[#passed + 1] = string.match(member, ':(.*)$') end
  end
  return passed
end

local function save_charges(passed)
  local agents, charged = {}, {}
  for agent in pairs(picker.charged) do agents[#agents + 1] = agent end
  for at, known in ipairs(agents[1] and redis.call('ZMSCORE', served, unpack(agents)) or {}) do
    charged[2 * at - 1], charged[2 * at] = (tonumber(known) or 0) + picker.charged[agents[at]], agents[at]
  end
  if charged[1] then redis.call('ZADD', served, unpack(charged)) end
  if passed[1] then redis.call('ZREM', served, unpack(passed)) end
end

-- Writes everything back. A lane that has drained ends its busy period: its clock moves to the last finish, and all is forgiven.
local function save_picker()
  local all_drained, clocks = true, {}
  for lane, clock in pairs(picker.clocks) do
    local drained = not fresh_waits(lane)
    all_drained = all_drained and drained
    if drained then clock.now_us = math.max(clock.now_us, clock.finish_us) end
    for name, time_us in pairs({ virtual_us = clock.now_us, finish_us = clock.finish_us }) do
      clocks[#clocks + 1] = name .. ':' .. lane
      clocks[#clocks + 1] = time_us
    end
  end
  save_rings()
  redis.call('HSET', sched, 'retry_credit', picker.retry_credit, 'batch_credit', picker.batch_credit, unpack(clocks))
  local passed = save_idle()
  if not all_drained then return save_charges(passed) end
  redis.call('DEL', served)
  -- Nothing waits, not even behind calls of its agent: whatever other hands did to the counters ends here.
  local waiting, cost = unpack(redis.call('HMGET', sched, 'waiting', 'waiting_cost'))
  if (waiting ~= '0' or cost ~= '0') and (read_cap() == 0 or redis.call('EXISTS', flying) == 0) then redis.call('HSET', sched, 'waiting', 0, 'waiting_cost', 0) end
end
