-- silence: when a dispatcher last spoke. After a silence of everybody it was the server that slept, or the network, and not the
-- workers: then nothing is taken from anybody for one lease, in which those who live renew.

-- What lies ahead by the clock lies no further ahead because that was set back: debts, pauses, breakers, whose turn it is.
local function turn_back(step_us)
  for _, field in ipairs(redis.call('HKEYS', config)) do
    local upstream = string.match(field, '^price_us:(.+)$')
    if upstream then
      turn_bucket_back(upstream, step_us)
      redis.call('HDEL', upstream_key(upstream), 'turn', 'turn_until_us', 'deputy', 'deputy_until_us')
    end
  end
  redis.call('HDEL', sched, 'asleep_until_us', 'watch', 'watch_until_us', 'reclaim_at_us', 'roll_call_at_us')
end

-- Returns until when nothing may be reclaimed. A clock that went back counts as a silence.
local function note_voice(now_us, lease_us)
  local state = redis.call('HMGET', sched, 'spoke_us', 'grace_until_us')
  local silence_us, grace_until_us = now_us - (tonumber(state[1]) or 0), tonumber(state[2]) or 0
  if silence_us < 0 then turn_back(-silence_us) end
  if silence_us < 0 or silence_us > lease_us / 3 then
    grace_until_us = math.max(now_us + lease_us, silence_us > 0 and grace_until_us or 0)
    redis.call('HSET', sched, 'spoke_us', now_us, 'grace_until_us', grace_until_us)
  elseif silence_us > lease_us / 30 then -- not at every call: it is a write
    redis.call('HSET', sched, 'spoke_us', now_us)
  end
  return grace_until_us
end
