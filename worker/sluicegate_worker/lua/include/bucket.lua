-- bucket: the leaky bucket of each upstream (GCRA in debt form) in several dimensions, and the slots that it hands out.
-- `tat` is when a dimension has paid its debt; a slot is never earlier than the latest of them, so sends are evenly spaced.
local DIMENSIONS = { 'rpm' }

-- A rate changed since the last charge rescales the debt, but never to before the last slot handed out plus its price.
local function rescaled(tat_us, old_price_us, price_us, last_slot_us, now_us)
  if old_price_us == price_us then return tat_us end
  local debt_us = old_price_us > 0 and math.ceil(math.max(0, tat_us - now_us) * price_us / old_price_us) or 0
  return math.max(now_us + debt_us, last_slot_us + price_us)
end

local function open_bucket(name, now_us)
  local limits = redis.call('HMGET', config, 'price_us:' .. name, 'max_in_flight:' .. name)
  if not limits[1] then return nil end
  local state = redis.call('HMGET', upstream_key(name), 'last_slot_us', 'in_flight', 'pause_until_us', 'turn', 'turn_until_us')
  local bucket = {
    name = name, prices = { rpm = tonumber(limits[1]) }, max_in_flight = tonumber(limits[2]), tats = {},
    last_slot_us = tonumber(state[1]) or 0, in_flight = tonumber(state[2]) or 0, pause_until_us = tonumber(state[3]) or 0,
    turn = state[4], turn_until_us = tonumber(state[5]) or 0, sends = 0,
  }
  for _, dimension in ipairs(DIMENSIONS) do
    local tat, price = unpack(redis.call('HMGET', upstream_key(name), 'tat_us:' .. dimension, 'price_us:' .. dimension))
    bucket.tats[dimension] = rescaled(tonumber(tat) or 0, tonumber(price) or 0, bucket.prices[dimension], bucket.last_slot_us, now_us)
  end
  return bucket
end

local function opens_us(bucket)
  local opens = bucket.pause_until_us
  for _, dimension in ipairs(DIMENSIONS) do opens = math.max(opens, bucket.tats[dimension]) end
  return opens
end

local function take_slot(bucket, earliest_us)
  local slot_us = math.max(opens_us(bucket), earliest_us)
  for _, dimension in ipairs(DIMENSIONS) do bucket.tats[dimension] = slot_us + bucket.prices[dimension] end
  bucket.last_slot_us = slot_us
  bucket.sends = bucket.sends + 1
  return slot_us
end

local CELL_US, CELLS = 5000000, 13

-- Calls and refusals of the last minute, in cells of five seconds that are used again: '<cell's number> <calls> <429s>'.
local function tally(name, now_us, calls, refusals)
  local number = math.floor(now_us / CELL_US)
  local field = 'cell:' .. number % CELLS
  local was, had_calls, had_refusals = string.match(redis.call('HGET', upstream_key(name), field) or '', '^(%d+) (%d+) (%d+)$')
  if tonumber(was) ~= number then had_calls, had_refusals = 0, 0 end
  redis.call('HSET', upstream_key(name), field, string.format('%d %d %d', number, had_calls + calls, had_refusals + refusals))
end

-- `claimed` calls are new; an exchanged slot belongs to a call that was counted before.
local function close_bucket(bucket, now_us, claimed)
  if bucket.sends == 0 then return end
  local fields = { 'last_slot_us', bucket.last_slot_us, 'in_flight', bucket.in_flight + claimed }
  for _, dimension in ipairs(DIMENSIONS) do
    for _, value in ipairs({ 'tat_us:' .. dimension, bucket.tats[dimension], 'price_us:' .. dimension, bucket.prices[dimension] }) do
      fields[#fields + 1] = value
    end
  end
  redis.call('HSET', upstream_key(bucket.name), unpack(fields))
  if claimed > 0 then tally(bucket.name, now_us, claimed, 0) end
end
