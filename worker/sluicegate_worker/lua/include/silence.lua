-- silence: when a dispatcher last spoke. After a silence of everybody it was the server that slept, or the network, and not the
-- workers: then nothing is taken from anybody for one lease, in which those who live renew.

-- Returns until when nothing may be reclaimed. A clock that went back counts as a silence.
local function note_voice(now_us, lease_us)
  local state = redis.call('HMGET', sched, 'spoke_us', 'grace_until_us')
  local silence_us, grace_until_us = now_us - (tonumber(state[1]) or 0), tonumber(state[2]) or 0
  if silence_us < 0 or silence_us > lease_us / 3 then
    grace_until_us = math.max(now_us + lease_us, silence_us > 0 and grace_until_us or 0)
    redis.call('HSET', sched, 'spoke_us', now_us, 'grace_until_us', grace_until_us)
  elseif silence_us > lease_us / 30 then -- not at every call: it is a write
    redis.call('HSET', sched, 'spoke_us', now_us)
  end
  return grace_until_us
end
