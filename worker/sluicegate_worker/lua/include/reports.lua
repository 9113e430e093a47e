-- reports: what good answers say of the limit. They only ever tighten, for others may use the same key.
local REPORT = '(%a+) (%S+) (%S+) (%S+)' -- dimension, limit a minute, remaining, us until all of it is back; - for what is not said
local HOLD_US = 1000000

-- A limit below the policy's holds at once, until a later call is told a higher one.
local function hear_limit(bucket, dimension, limit)
  local base_us = bucket.base[dimension]
  local below = base_us == 0 or MINUTE_US / (limit * (1 - (bucket.headroom or 0))) > base_us * 1.000001
  local ceiling = below and limit or 0
  if bucket['ceiling:' .. dimension] ~= ceiling then set(bucket, 'ceiling:' .. dimension, ceiling) end
end

-- What went out after this call, and for requests the next one, too.
local function handed_since(bucket, dimension, entry)
  if dimension == 'rpm' then return bucket.handed_calls - (tonumber(entry.handed_calls) or bucket.handed_calls) + 1 end
  return amount_of(bucket, dimension, bucket.handed_in - (tonumber(entry.handed_in) or bucket.handed_in),
    bucket.handed_out - (tonumber(entry.handed_out) or bucket.handed_out))
end

-- Less is left than what was handed out since: others take it. The bucket waits as if it had been taken here, but not for long, and
-- not on news that are older than the limit's own memory.
local function hear_remaining(bucket, dimension, remaining, reset_us, entry, now_us)
  local slot_us = tonumber(entry.slot_us) or 0
  if slot_us + reset_us <= now_us then return end
  local short = handed_since(bucket, dimension, entry) - remaining
  if short <= 0 then return end
  local wait_us = math.min(HOLD_US, slot_us + reset_us - now_us, math.ceil(short * bucket['price_us:' .. dimension]))
  local until_us = now_us + wait_us + (bucket.burst_us or 0)
  if until_us > bucket['tat_us:' .. dimension] then
    set(bucket, 'tat_us:' .. dimension, until_us)
    set(bucket, 'price_us:' .. dimension, bucket['price_us:' .. dimension])
  end
end

-- Answers come in any order: what an earlier call was told about the limit is old news.
local function hear_report(bucket, entry, reported, now_us)
  complete(entry)
  local slot_us = tonumber(entry.slot_us) or 0
  local newest = slot_us >= bucket.reported_us
  for dimension, limit, remaining, reset_us in string.gmatch(reported, REPORT) do
    if bucket.base[dimension] then
      limit, remaining, reset_us = tonumber(limit), tonumber(remaining), tonumber(reset_us)
      if newest and limit and limit > 0 then hear_limit(bucket, dimension, limit) end
      if remaining and reset_us then hear_remaining(bucket, dimension, remaining, reset_us, entry, now_us) end
    end
  end
  if newest and reported ~= '' then set(bucket, 'reported_us', slot_us) end
end
