-- bucket: the leaky bucket of each upstream (GCRA in debt form) in several dimensions, and the slots that it hands out.
-- `tat` is when a dimension has paid its debt; a slot is never earlier than the latest of them, so sends are evenly spaced.
local DAY_MARGIN_US = SECOND_US -- longer than any horizon: what an hour frees is known when it is over, not ahead of it
local buckets = {}

-- A rate changed since the last charge rescales the debt, but never to before the last slot handed out plus its price.
local function rescaled(bucket, dimension, price_us, now_us)
  local tat_us, old_price_us = bucket['tat_us:' .. dimension], bucket['price_us:' .. dimension]
  if old_price_us == price_us then return tat_us end
  local debt_us = old_price_us > 0 and math.ceil(math.max(0, tat_us - now_us) * price_us / old_price_us) or 0
  return math.max(now_us + debt_us, bucket.last_slot_us + math.ceil(bucket['last:' .. dimension] * price_us))
end

-- What a unit costs now: by the policy, or by what the provider reports where that is less, at the pace of the moment. Requests cost
-- whole microseconds, tokens a millionth of one and more.
local function price_now_us(bucket, dimension, pace)
  local ceiling = bucket['ceiling:' .. dimension]
  local price_us = bucket.base[dimension]
  if ceiling > 0 then price_us = math.max(price_us, MINUTE_US / (ceiling * (1 - (bucket.headroom or 0)))) end
  if dimension == 'rpm' then return math.ceil(price_us / pace) end
  return math.ceil(price_us / pace * 1000000) / 1000000
end

local function reprice(bucket, now_us)
  local pace, slowest = pace_at(bucket, now_us), 1
  for dimension, base_us in pairs(bucket.base) do
    local price_us = price_now_us(bucket, dimension, pace)
    bucket['tat_us:' .. dimension] = rescaled(bucket, dimension, price_us, now_us)
    bucket['price_us:' .. dimension] = price_us
    if base_us > 0 then slowest = math.min(slowest, base_us / price_us) end
  end
  bucket.slowest = math.floor(slowest * 1000 + 0.5) / 1000
end

-- The limits per day: how much of them the last day has left, and when the oldest hour of it will be over.
local function open_day(bucket, now_us)
  if not bucket.rpd and not bucket.tpd then return end
  local hours, calls, tokens = read_hours(bucket.name, now_us), 0, 0
  for _, hour in pairs(hours) do calls, tokens = calls + hour.calls, tokens + hour.tokens end
  bucket.calls_left, bucket.tokens_left = (bucket.rpd or math.huge) - calls, (bucket.tpd or math.huge) - tokens
  local frees_calls, frees_tokens, number = 0, 0, math.floor(now_us / HOUR_US)
  for age = HOURS - 1, 0, -1 do
    local hour = hours[age]
    if hour then frees_calls, frees_tokens = frees_calls + hour.calls, frees_tokens + hour.tokens end
    if hour and bucket.calls_left + frees_calls > 0 and bucket.tokens_left + frees_tokens > 0 then
      bucket.day_opens_us = (number - age + HOURS) * HOUR_US + DAY_MARGIN_US
      return
    end
  end
  bucket.day_opens_us = (number + HOURS) * HOUR_US + DAY_MARGIN_US
end

-- An upstream that the policy no longer has is not `known`: nothing more is sent to it, but what it has in flight still ends.
local function bucket_of(name, now_us)
  if not buckets[name] then
    buckets[name] = read_upstream(name)
    reprice(buckets[name], now_us)
    open_day(buckets[name], now_us)
    buckets[name].blocked_until_us = breaker_opens_us(buckets[name])
  end
  return buckets[name]
end

-- Before anything is worked out from the new time.
local function turn_bucket_back(name, step_us)
  if buckets[name] then write_upstream(buckets[name]) end
  buckets[name] = nil
  local bucket = read_upstream(name)
  turn_upstream_back(bucket, step_us)
  write_upstream(bucket)
end

-- Until when nothing is left of a limit per day; 0 where something is.
local function day_until_us(bucket)
  return bucket.day_opens_us and (bucket.calls_left <= 0 or bucket.tokens_left <= 0) and bucket.day_opens_us or 0
end

local function opens_us(bucket)
  local opens = math.max(bucket.pause_until_us, bucket.blocked_until_us)
  for dimension in pairs(bucket.base) do opens = math.max(opens, bucket['tat_us:' .. dimension] - (bucket.burst_us or 0)) end
  return math.max(opens, day_until_us(bucket))
end

local function amount_of(bucket, dimension, tokens_in, tokens_out)
  if dimension == 'rpm' then return 1 end
  if dimension == 'itpm' then return tokens_in end
  if dimension == 'otpm' then return tokens_out end
  return bucket.counts_output == 0 and tokens_in or tokens_in + tokens_out
end

local function take_slot(bucket, earliest_us, tokens_in, tokens_out)
  local slot_us = math.max(opens_us(bucket), earliest_us)
  for dimension in pairs(bucket.base) do
    local amount, price_us = amount_of(bucket, dimension, tokens_in, tokens_out), bucket['price_us:' .. dimension]
    set(bucket, 'tat_us:' .. dimension, math.max(bucket['tat_us:' .. dimension], slot_us) + math.ceil(amount * price_us))
    set(bucket, 'price_us:' .. dimension, price_us)
    set(bucket, 'last:' .. dimension, amount)
  end
  set(bucket, 'last_slot_us', slot_us)
  return slot_us
end

-- A slot for a request that is claimed now. Reserves what the provider will count, or what it may come to where it counts the most
-- that was asked for. Returns the slot and the tokens reserved.
local function reserve_slot(bucket, earliest_us, predicted_in, predicted_out, asked_out)
  local tokens_out = bucket.reserves_max ~= 0 and asked_out >= 0 and asked_out or predicted_out
  local slot_us = take_slot(bucket, earliest_us, predicted_in, tokens_out)
  bucket.sends = bucket.sends + 1
  set(bucket, 'in_flight', bucket.in_flight + 1)
  set(bucket, 'handed_calls', bucket.handed_calls + 1)
  set(bucket, 'handed_in', bucket.handed_in + predicted_in)
  set(bucket, 'handed_out', bucket.handed_out + tokens_out)
  if bucket.day_opens_us then
    bucket.calls_left = bucket.calls_left - 1
    bucket.tokens_left = bucket.tokens_left - amount_of(bucket, 'tpm', predicted_in, tokens_out)
    bucket.day_tokens = (bucket.day_tokens or 0) + amount_of(bucket, 'tpm', predicted_in, tokens_out)
  end
  return slot_us, predicted_in, tokens_out
end

-- What was reserved was too much, or too little. Never back to before the last slot handed out plus its price; where that slot is the
-- corrected one itself, its price is what it really took. Calls share a slot where no limit of requests keeps them apart and all but the
-- last have reserved nothing: those say nothing of what it takes.
local function correct(bucket, slot_us, reserved_in, reserved_out, tokens_in, tokens_out, now_us)
  for dimension in pairs(bucket.base) do
    local price_us = bucket['price_us:' .. dimension]
    local amount = amount_of(bucket, dimension, tokens_in, tokens_out)
    local reserved = amount_of(bucket, dimension, reserved_in, reserved_out)
    local delta_us = math.ceil((amount - reserved) * price_us)
    if dimension ~= 'rpm' and delta_us ~= 0 then
      if slot_us == bucket.last_slot_us and reserved == bucket['last:' .. dimension] then set(bucket, 'last:' .. dimension, amount) end
      local floor_us = bucket.last_slot_us + math.ceil(bucket['last:' .. dimension] * price_us)
      set(bucket, 'tat_us:' .. dimension, math.max(bucket['tat_us:' .. dimension] + delta_us, floor_us))
      set(bucket, 'price_us:' .. dimension, price_us)
    end
  end
  if bucket.tpd then
    local more = amount_of(bucket, 'tpm', tokens_in, tokens_out) - amount_of(bucket, 'tpm', reserved_in, reserved_out)
    tally_hour(bucket.name, now_us, 0, more)
  end
end

local function settle_all(bucket)
  if bucket.in_flight ~= 0 then set(bucket, 'in_flight', 0) end
  if bucket.settled_in ~= bucket.handed_in then set(bucket, 'settled_in', bucket.handed_in) end
  if bucket.settled_out ~= bucket.handed_out then set(bucket, 'settled_out', bucket.handed_out) end
end

-- Whether it may open sooner than it says: what was reserved for calls in flight can come back, a probe can be answered.
local function may_open_sooner(bucket)
  return bucket.in_flight > 0 and (bucket.breaker ~= '' or bucket.base.tpm or bucket.base.itpm or bucket.base.otpm)
end

-- Nothing is written where nothing changed. Who waits for room is woken.
local function save_buckets(now_us)
  for name, bucket in pairs(buckets) do
    local counted = bucket.day_opens_us or not bucket.rpd and not bucket.tpd
    if counted and bucket.day_until_us ~= day_until_us(bucket) then set(bucket, 'day_until_us', day_until_us(bucket)) end
    if next(bucket.changes) then
      reprice(bucket, now_us) -- what was learned here may have changed it
      set(bucket, 'pace', bucket.slowest)
      -- What those who ask how long it takes should count with.
      set(bucket, 'outlook', bucket.slowest * lasting_pace_at(bucket, now_us) / pace_at(bucket, now_us))
    end
    write_upstream(bucket)
    if bucket.sends > 0 then
      tally(name, now_us, 'calls', bucket.sends)
      if bucket.day_opens_us then tally_hour(name, now_us, bucket.sends, bucket.day_tokens) end
    end
    if bucket.wakes then put_token() end
  end
  save_tallies()
end
