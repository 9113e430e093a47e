-- picking: whose request is next. Retries in due order have a share of the slots, lane batch a minimum, and within a lane the
-- agent with the smallest virtual time is next. Nothing is moved here but the ring.
local CARRIED = { 'accepted_us', 'lane', 'agent', 'place', 'attempts', 'sends', 'deadline_us', 'head', 'body', 'digest', 'model',
  'tokens_in', 'tokens_out', 'cost' }
local FORMS = { accepted_us = '^%d+$', agent = '^[%w._-]+$', attempts = '^%d+$', sends = '^%d+$',
  deadline_us = '^%d+$', digest = '^%w+$', tokens_in = '^%d+$', tokens_out = '^%-?%d+$', cost = '^%d+$' }
local LOST_AT_ONCE = 100
local CAPPED_US = 1000000
local picker = { cursors = {}, taken = {}, due_at = 1, lost = 0 }

-- `lone`: the one request that may be picked, if there is such.
local function load_picker(now_us, count, lone)
  picker.now_us, picker.alone = now_us, lone
  picker.due = lone and { lone } or redis.call('ZRANGEBYSCORE', due, '-inf', now_us, 'LIMIT', 0, count)
  local shares = redis.call('HMGET', config, 'retry_share', 'batch_share')
  picker.retry_share, picker.batch_share = tonumber(shares[1]), tonumber(shares[2])
  local credits = redis.call('HMGET', sched, 'retry_credit', 'batch_credit')
  picker.retry_credit, picker.batch_credit = tonumber(credits[1]) or 1, tonumber(credits[2]) or 0
  picker.clocks = {}
  for lane in pairs(EPOCH_US) do
    local finish_us = tonumber(redis.call('HGET', sched, 'finish_us:' .. lane)) or EPOCH_US[lane]
    picker.clocks[lane] = { now_us = virtual_now_us(lane), finish_us = finish_us }
  end
end

-- What a request carries to be sent, or nil where there is no request or another's hand has damaged it.
local function read_carried(id)
  local carried = redis.call('HMGET', request_key(id), unpack(CARRIED))
  for at, field in ipairs(CARRIED) do
    if not carried[at] or not string.find(carried[at], FORMS[field] or '') then return nil end
  end
  return EPOCH_US[carried[2]] and split_place(carried[4]) and carried
end

-- What broke off after its outcome was written has left only its entry behind.
local function has_ended(id)
  return id and redis.call('EXISTS', request_key(id)) == 0 and redis.call('EXISTS', reply_key(id)) == 1
end

-- The next entry of the agent's backlog that this call has not taken yet, and how many lie behind it.
local function next_entry(backlog)
  local cursor = picker.cursors[backlog]
  local entry = redis.call('XRANGE', backlog, cursor and '(' .. cursor or '-', '+', 'COUNT', 1)[1]
  if not entry then return nil, 0 end
  picker.cursors[backlog] = entry[1]
  picker.taken[backlog] = (picker.taken[backlog] or 0) + 1
  return entry, redis.call('XLEN', backlog) - picker.taken[backlog]
end

-- What it will probably take and cost, and how far that moves its agent's virtual time.
local function appraise(carried)
  local tokens_in, tokens_out = predict(carried[11], tonumber(carried[12]), tonumber(carried[13]))
  local cost = cost_us(tokens_in, tokens_out)
  return { tokens_in = tokens_in, tokens_out = tokens_out, asked_out = tonumber(carried[13]), cost = cost,
    step = cost / weight_of(carried[3]) }
end

local function charge(lane, agent, time_us, price, now_us)
  local clock = picker.clocks[lane]
  clock.finish_us = math.max(clock.finish_us, time_us)
  redis.call('ZINCRBY', served, price.cost, agent)
  spend(agent, price.tokens_in + price.tokens_out, now_us, now_us)
  take_off(agent)
end

local function park(lane, agent, time_us)
  redis.call('ZREM', ring_key(lane), agent)
  if time_us > picker.clocks[lane].now_us then redis.call('ZADD', idle, time_us, lane .. ':' .. agent) end
end

local function take_fresh(lane, agent, start_us, picked, left)
  local clock = picker.clocks[lane]
  clock.now_us = math.max(clock.now_us, start_us)
  picked.price, picked.start_us = appraise(picked.carried), start_us
  local time_us = start_us + picked.price.step
  charge(lane, agent, time_us, picked.price, picker.now_us)
  if left > 0 and not is_at_cap(agent) then redis.call('ZADD', ring_key(lane), time_us, agent) else park(lane, agent, time_us) end
  return picked
end

local function pick_fresh(lane)
  local ring = ring_key(lane)
  while picker.lost < LOST_AT_ONCE do
    local head = redis.call('ZRANGE', ring, 0, 0, 'WITHSCORES')
    if not head[1] then return nil end
    local agent, start_us = head[1], tonumber(head[2])
    local backlog, capped = backlog_key(lane, agent), is_at_cap(head[1]) -- perhaps by the other lane
    local entry, left = nil, 0
    if not capped then entry, left = next_entry(backlog) end
    local id = entry and entry[2][1] == 'id' and entry[2][2]
    local carried = id and read_carried(id)
    if capped then park(lane, agent, start_us)
    elseif not entry then -- this call has taken or dropped all it had
      park(lane, agent, start_us)
      picker.lost = picker.lost + 1
    elseif not carried and has_ended(id) then return { double = true, from = backlog, entry = entry[1] }
    elseif not carried then return { undecodable = entry[2], id = id, from = backlog, entry = entry[1] }
    elseif carried[4] ~= 'backlog ' .. entry[1] then return { double = true, from = backlog, entry = entry[1] }
    elseif tonumber(carried[7]) <= picker.now_us then return { expired = id, from = backlog }
    elseif barred_us(agent, picker.now_us) > 0 then
      return { barred = id, from = backlog, entry = entry[1], carried = carried, until_us = picker.now_us + barred_us(agent, picker.now_us) }
    else return take_fresh(lane, agent, start_us, { id = id, from = backlog, entry = entry[1], carried = carried, fresh = true }, left) end
  end
end

-- A retry is charged like any call that is sent, wherever its agent's virtual time is kept now.
local function pick_retry()
  local id = picker.due[picker.due_at]
  picker.due_at = picker.due_at + 1
  local carried = read_carried(id)
  if not carried and has_ended(id) then return { double = true, due = id } end
  if not carried then return { undecodable = { id }, id = id, due = id } end
  local lane, agent = carried[2], carried[3]
  local stream, entry = split_place(carried[4])
  if stream ~= 'retry' then return { double = true, due = id } end
  if tonumber(carried[7]) <= picker.now_us then return { expired = id } end
  if is_at_cap(agent) then
    redis.call('ZADD', picker.alone and suspects or due, picker.now_us + CAPPED_US, id)
    return { capped = true }
  end
  local price, start_us = appraise(carried), tonumber(redis.call('ZSCORE', ring_key(lane), agent))
  if start_us then
    redis.call('ZADD', ring_key(lane), start_us + price.step, agent)
    charge(lane, agent, start_us + price.step, price, picker.now_us)
    if is_at_cap(agent) then park(lane, agent, start_us + price.step) end
  else
    local kept_us = tonumber(redis.call('ZSCORE', idle, lane .. ':' .. agent)) or EPOCH_US[lane]
    start_us = math.max(picker.clocks[lane].now_us, kept_us)
    charge(lane, agent, start_us + price.step, price, picker.now_us)
    redis.call('ZADD', idle, start_us + price.step, lane .. ':' .. agent)
  end
  return { id = id, from = retry, entry = entry, due = id, carried = carried, price = price, start_us = start_us }
end

local function fresh_waits(lane) return redis.call('EXISTS', ring_key(lane)) == 1 end

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

-- Writes the clocks back. A lane that has drained ends its busy period: its clock moves to the last finish, and all is forgiven.
local function save_picker()
  local all_drained = true
  for lane, clock in pairs(picker.clocks) do
    local drained = not fresh_waits(lane)
    all_drained = all_drained and drained
    local now_us = drained and math.max(clock.now_us, clock.finish_us) or clock.now_us
    redis.call('HSET', sched, 'virtual_us:' .. lane, now_us, 'finish_us:' .. lane, clock.finish_us)
    local from_us = EPOCH_US[lane]
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', idle, from_us, now_us, 'LIMIT', 0, 500)) do
      redis.call('ZREM', idle, member)
      redis.call('ZREM', served, string.match(member, ':(.*)$'))
    end
  end
  if all_drained then
    redis.call('DEL', served)
    -- Nothing waits, not even behind calls of its agent: whatever other hands did to the counters ends here.
    local waiting, cost = unpack(redis.call('HMGET', sched, 'waiting', 'waiting_cost'))
    if (waiting ~= '0' or cost ~= '0') and (read_cap() == 0 or redis.call('EXISTS', flying) == 0) then redis.call('HSET', sched, 'waiting', 0, 'waiting_cost', 0) end
  end
  redis.call('HSET', sched, 'retry_credit', picker.retry_credit, 'batch_credit', picker.batch_credit)
end
