-- upstream: the hash of one upstream, read once in a script and written back once, with the terms that the policy sets for it.
local SECOND_US, MINUTE_US = 1000000, 60000000
local TERMS = { 'price_us', 'tpm_price_us', 'itpm_price_us', 'otpm_price_us', 'max_in_flight', 'headroom', 'burst_us', 'rpd', 'tpd',
  'reserves_max', 'counts_output', 'held' }
local FIELDS = { 'last_slot_us', 'in_flight', 'pause_until_us', 'handed_calls', 'handed_in', 'handed_out', 'settled_in', 'settled_out', 'reported_us',
  'decreased_us', 'refused_us', 'refused_in_row', 'peak', 'ramp_us', 'ramp_level', 'open_until_us', 'opened_us', 'closed_us',
  'failed_in_row', 'day_until_us', 'turn_until_us', 'deputy_until_us', 'tat_us:rpm', 'price_us:rpm', 'last:rpm', 'ceiling:rpm',
  'tat_us:tpm', 'price_us:tpm', 'last:tpm', 'ceiling:tpm', 'tat_us:itpm', 'price_us:itpm', 'last:itpm', 'ceiling:itpm', 'tat_us:otpm',
  'price_us:otpm', 'last:otpm', 'ceiling:otpm', 'pause_reason', 'breaker', 'breaker_reason', 'probe', 'turn', 'deputy' }
local WORDS = { pause_reason = true, breaker = true, breaker_reason = true, probe = true, turn = true, deputy = true }
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
  local found = redis.call('HMGET', upstream_key(name), unpack(FIELDS))
  for at, field in ipairs(FIELDS) do bucket[field] = WORDS[field] and (found[at] or '') or found[at] and tonumber(found[at]) or 0 end
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
