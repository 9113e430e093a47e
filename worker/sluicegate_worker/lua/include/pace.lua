-- pace: which part of its configured rate an upstream is used at. A refusal takes it down, once for all calls that were under way; it
-- comes back by itself, fast at first, slowly where the last refusal was, then on to the whole rate.
local DECREASE = 0.8
local RECOVERY_US = 20000000 -- until it is back where it was refused
local RAMP, RAMP_US = 1.5, 900000000 -- of a provider that refuses growth: half as much again in a quarter of an hour
local SLOW_START, DOUBLING_US = 0.5, 500000 -- half a second until all is as before
local SLOWEST = 0.01
local BACKOFF_US, BACKOFF_MOST_US = 200000, 5000000
local EPISODE_US = 10000000
local STEPS = 1000 -- in whole thousandths, so that not every moment has a rate of its own

local function in_steps(pace) return math.max(SLOWEST, math.floor(pace * STEPS + 0.5) / STEPS) end

-- But for the slow start after an open breaker, which is over in seconds.
local function lasting_pace_at(bucket, now_us)
  local pace = 1
  if bucket.decreased_us > 0 then
    local left = (RECOVERY_US - (now_us - bucket.decreased_us)) / RECOVERY_US
    pace = math.min(pace, bucket.peak * (1 - (1 - DECREASE) * left * left * left))
  end
  if bucket.ramp_us > 0 then pace = math.min(pace, bucket.ramp_level * RAMP ^ ((now_us - bucket.ramp_us) / RAMP_US)) end
  return in_steps(pace)
end

local function pace_at(bucket, now_us)
  local pace = lasting_pace_at(bucket, now_us)
  if bucket.closed_us > 0 then pace = math.min(pace, SLOW_START * 2 ^ ((now_us - bucket.closed_us) / DOUBLING_US)) end
  return in_steps(pace)
end

-- One decrease per episode, which lasts until a call that was handed out after its last refusal is answered well, or for ten seconds
-- nothing is refused. Who is refused again meanwhile waits twice as long, whatever the provider says: others may take what it means. Refusals of calls that were handed out
-- before the last one are old news, wherever their slots are. Returns how long to wait at least.
local function slow_down(bucket, leased_us, now_us)
  if leased_us <= bucket.refused_us then return 0 end
  if bucket.refused_in_row == 0 or now_us - bucket.refused_us >= EPISODE_US then
    bucket.refused_in_row = 0
    set(bucket, 'peak', lasting_pace_at(bucket, now_us))
    set(bucket, 'decreased_us', now_us)
  end
  set(bucket, 'refused_us', now_us)
  set(bucket, 'refused_in_row', bucket.refused_in_row + 1)
  return bucket.refused_in_row == 1 and 0 or math.min(BACKOFF_MOST_US, BACKOFF_US * 2 ^ (bucket.refused_in_row - 2))
end

local function end_episode(bucket, leased_us)
  if bucket.refused_in_row > 0 and leased_us > bucket.refused_us then set(bucket, 'refused_in_row', 0) end
end

-- Growth was refused, not a rate: from what is really sent now it may grow only so fast.
local function stop_growth(bucket, leased_us, now_us)
  if leased_us <= bucket.ramp_us then return end
  local recent, stretch_us = read_recent(bucket.name, now_us)
  local price_us = bucket.base.rpm
  local level = lasting_pace_at(bucket, now_us)
  if price_us > 0 then level = math.min(level, recent.calls * price_us / stretch_us) end
  set(bucket, 'ramp_level', math.max(SLOWEST, DECREASE * level))
  set(bucket, 'ramp_us', now_us)
end
