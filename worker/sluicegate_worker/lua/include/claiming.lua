-- claiming: takes as many requests as may be sent now: the upstream that opens first, the fairest request, the charge to both.
local DROPPED_AT_ONCE = 100

local function opens_first(found, usable)
  local best
  for _, bucket in ipairs(found) do
    if usable(bucket) and (not best or opens_us(bucket) < opens_us(best)) then best = bucket end
  end
  return best
end

local function has_room(bucket) return not bucket.held and bucket.in_flight < bucket.max_in_flight end

-- An agent that has spent its tokens goes on in the next window.
local function put_off(picked)
  enter_delay(picked.barred, picked.carried.agent, picked.until_us, 'later')
  if redis.call('XDEL', picked.from, picked.entry) == 1 then count_waiting(-1, 0 - picked.carried.cost) end
end

-- What nobody can read goes to the dead letters, and with it what is left of its request.
local function drop_undecodable(picked, terms)
  local damaged = picked.id and redis.call('EXISTS', request_key(picked.id)) == 1
  bury_undecodable(picked.undecodable, picked.from or 'due', damaged and picked.id or '', terms.now_us, terms.dead_ttl_ms)
  if damaged then
    if picked.from and redis.call('XDEL', picked.from, picked.entry) == 1 then
      local _, _, _, cost = salvage_facts(redis.call('HGET', request_key(picked.id), 'facts'))
      count_waiting(-1, 0 - (cost or 0))
    end
    end_damaged(picked.id, terms.reply_ttl_ms)
  end
  terms.undecodable = terms.undecodable + 1
end

-- What cannot be sent costs nothing: it is put off, answered, kept among the dead letters or, as a double, forgotten, and the next is
-- looked at.
local function drop(picked, terms)
  if picked.capped then return end
  if picked.expired then return expire(picked.expired, terms) end
  if picked.barred then return put_off(picked) end
  if picked.undecodable then drop_undecodable(picked, terms) end
  if picked.due then
    redis.call('ZREM', due, picked.due)
    redis.call('ZREM', suspects, picked.due)
  else
    redis.call('XDEL', picked.from, picked.entry)
  end
end

-- The entry of `run` says all that must be known when the call ends, whatever becomes of its request meanwhile.
local function enter_run(picked, bucket, terms)
  local price, carried = picked.price, picked.carried
  local slot_us, tokens_in, tokens_out =
    reserve_slot(bucket, terms.now_us + terms.lead_us, price.tokens_in, price.tokens_out, price.asked_out)
  picked.upstream, picked.slot_us = bucket.name, slot_us
  picked.call = write_call(slot_us, terms.now_us, tokens_in, tokens_out, price.tokens_in + price.tokens_out, price.cost, carried.lane,
    picked.start_us, dispatcher, carried.sends + 1, bucket, picker.alone)
  picked.fence = redis.call('XADD', run, '*', 'id', picked.id, 'agent', carried.agent, 'upstream', bucket.name, 'call', picked.call)
  if bucket.breaker ~= '' then begin_probe(bucket, picked.fence) end
end

-- Returns the requests and why it stopped: full | closed | empty.
local function claim(found, terms)
  local claimed, size, dropped = {}, 0, 0
  while #claimed < terms.count and size < terms.bytes and dropped < DROPPED_AT_ONCE do
    local bucket = opens_first(found, has_room)
    if not bucket or math.max(opens_us(bucket), terms.now_us + terms.lead_us) > terms.now_us + terms.horizon_us then
      return claimed, 'closed'
    end
    local picked = pick()
    if not picked then return claimed, picker.lost < LOST_AT_ONCE and 'empty' or 'full' end
    if picked.price then
      enter_run(picked, bucket, terms)
      size = size + #picked.carried.body
      claimed[#claimed + 1] = picked
    else
      drop(picked, terms)
      dropped = dropped + 1
    end
  end
  return claimed, 'full'
end

-- Delivers what was claimed, then takes it out of where it waited.
local function deliver(claimed)
  if claimed[1] then redis.call('XREADGROUP', 'GROUP', 'dispatchers', dispatcher, 'COUNT', #claimed, 'STREAMS', run, '>') end
  local ids, fresh, cost = {}, 0, 0
  for at, picked in ipairs(claimed) do
    redis.call('HSET', request_key(picked.id), 'place', 'run ' .. picked.fence, 'sends', picked.carried.sends + 1, 'call', picked.call)
    ids[at] = picked.id
    if picked.due then leave_delay(picked.due, picked.entry) end
    if picked.fresh then
      fresh, cost = fresh + 1, cost + picked.carried.cost
      local taken = picker.backlogs[picked.from].claimed
      taken[#taken + 1] = picked.entry
    end
  end
  if ids[1] then redis.call('ZREM', expiry, unpack(ids)) end
  local emptied = {}
  for backlog, known in pairs(picker.backlogs) do
    if known.whole and known.at == #known.entries then emptied[#emptied + 1] = backlog
    elseif known.claimed[1] then redis.call('XDEL', backlog, unpack(known.claimed)) end
  end
  if emptied[1] then redis.call('DEL', unpack(emptied)) end
  if fresh > 0 then count_waiting(-fresh, -cost) end
end
