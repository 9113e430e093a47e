-- upstream: the hash of one upstream, read once in a script and written back once, with the terms that the policy sets for it.
local SECOND_US, MINUTE_US = 1000000, 60000000
local TERMS = { 'price_us', 'tpm_price_us', 'itpm_price_us', 'otpm_price_us', 'max_in_flight', 'headroom', 'burst_us', 'rpd', 'tpd',
  'reserves_max', 'counts_output', 'held' }
local NUMBERS = { 'last_slot_us', 'in_flight', 'pause_until_us', 'handed_calls', 'handed_in', 'handed_out', 'settled_in', 'settled_out', 'reported_us',
  'decreased_us', 'refused_us', 'refused_in_row', 'peak', 'ramp_us', 'ramp_level', 'open_until_us', 'opened_us', 'closed_us',
  'failed_in_row', 'day_until_us', 'turn_until_us' }
local WORDS = { 'pause_reason', 'breaker', 'breaker_reason', 'probe', 'turn' }
local OF_DIMENSION = { 'tat_us:', 'price_us:', 'last:', 'ceiling:' }
-- What lies ahead or behind by the clock, and moves with a clock that is set back.
local MOMENTS = { 'last_slot_us', 'pause_until_us', 'reported_us', 'decreased_us', 'refused_us', 'ramp_us', 'opened_us', 'open_until_us',
  'closed_us', 'day_until_us' }

local function set(bucket, field, value)
  bucket[field] = value
  bucket.changes[field] = value
end

-- `base`: what a unit of each dimension that has a limit costs by the policy, in microseconds.
local function read_terms(name)
  local fields = {}
  for at, term in ipairs(TERMS) do fields[at] = term .. ':' .. name end
  local found, terms = redis.call('HMGET', config, unpack(fields)), {}
  for at, term in ipairs(TERMS) do terms[term] = tonumber(found[at]) end
  terms.known = terms.price_us ~= nil
  terms.base = { rpm = terms.price_us or 0 }
  for _, dimension in ipairs({ 'tpm', 'itpm', 'otpm' }) do
    local price_us = terms[dimension .. '_price_us'] or 0
    if price_us > 0 then terms.base[dimension] = price_us end
  end
  return terms
end

local function read_upstream(name)
  local bucket = read_terms(name)
  bucket.name, bucket.changes, bucket.sends = name, {}, 0
  bucket.max_in_flight = bucket.max_in_flight or math.huge
  local fields, numbers = {}, {}
  for _, field in ipairs(NUMBERS) do fields[#fields + 1] = field end
  for dimension in pairs(bucket.base) do
    for _, part in ipairs(OF_DIMENSION) do fields[#fields + 1] = part .. dimension end
  end
  for at, field in ipairs(fields) do numbers[at] = field end
  for _, field in ipairs(WORDS) do fields[#fields + 1] = field end
  local found = redis.call('HMGET', upstream_key(name), unpack(fields))
  for at, field in ipairs(fields) do bucket[field] = numbers[at] and (tonumber(found[at]) or 0) or found[at] or '' end
  return bucket
end

local function write_upstream(bucket)
  local written, cleared = {}, {}
  for field, value in pairs(bucket.changes) do
    if value == '' then
      cleared[#cleared + 1] = field
    else
      written[#written + 1] = field
      written[#written + 1] = value
    end
  end
  if written[1] then redis.call('HSET', upstream_key(bucket.name), unpack(written)) end
  if cleared[1] then redis.call('HDEL', upstream_key(bucket.name), unpack(cleared)) end
  bucket.changes = {}
end

-- What lies ahead by the clock lies no further ahead because that was set back.
local function turn_upstream_back(bucket, step_us)
  local moments = { unpack(MOMENTS) }
  for dimension in pairs(bucket.base) do moments[#moments + 1] = 'tat_us:' .. dimension end
  for _, moment in ipairs(moments) do
    if bucket[moment] > 0 then set(bucket, moment, math.max(0, bucket[moment] - step_us)) end
  end
end
