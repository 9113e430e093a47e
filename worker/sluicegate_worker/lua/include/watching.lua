-- watching: who stays awake where nothing may be sent now, so that the others can sleep.
local TURN_GRACE_US = 100000
local EXPIRY_STEP_US = 50000

-- Deadlines do not wait for the bucket; a crowd of them is answered together.
local function until_expiry_us(terms)
  local next_end = tonumber(redis.call('ZRANGE', expiry, 0, 0, 'WITHSCORES')[2])
  return next_end and math.max(EXPIRY_STEP_US, next_end - terms.now_us) or math.huge
end

-- Who asks is up, and looks after a turn no more unless it is told to again.
local function retire(found)
  for _, bucket in ipairs(found) do
    if bucket.deputy == dispatcher then
      redis.call('HDEL', upstream_key(bucket.name), 'deputy', 'deputy_until_us')
      bucket.deputy = ''
    end
  end
end

-- One of those who wait, the deputy, is up when a turn ends, should its holder fail: if all were, they would ask more often than there
-- is work. Returns how long to wait.
local function look_after(turns, terms)
  local wait_us = terms.lease_us / 6
  for _, bucket in ipairs(turns) do
    if bucket.deputy == '' or bucket.deputy_until_us <= terms.now_us then
      redis.call('HSET', upstream_key(bucket.name), 'deputy', dispatcher, 'deputy_until_us', bucket.turn_until_us)
      wait_us = math.min(wait_us, bucket.turn_until_us - terms.now_us)
    end
  end
  return wait_us
end

-- Who stays awake: one dispatcher per upstream sleeps until half the horizon is free, the others wait for the token.
local function keep_turn(found, terms)
  local held = {} -- turns of others
  local mine = opens_first(found, function(bucket)
    if not has_room(bucket) then return false end
    if bucket.turn == dispatcher or bucket.turn_until_us <= terms.now_us then return true end
    held[#held + 1] = bucket
    return false
  end)
  if not mine then
    if held[1] then return 'block', look_after(held, terms) end
    return 'block', math.min(terms.lease_us / 6, until_expiry_us(terms)) -- every upstream is full, and nobody is up for the deadlines
  end
  local wait_us = math.max(0, math.min(opens_us(mine) - terms.horizon_us / 2 - terms.now_us, terms.lease_us / 6, until_expiry_us(terms)))
  if may_open_sooner(mine) then wait_us = math.min(wait_us, terms.horizon_us) end
  local expires_us = terms.now_us + wait_us + TURN_GRACE_US
  redis.call('HSET', upstream_key(mine.name), 'turn', dispatcher, 'turn_until_us', expires_us)
  redis.call('HSET', sched, 'asleep_until_us', expires_us)
  return 'turn', wait_us
end

-- With nothing to send now, one dispatcher is up in time for the next that comes due or expires; a token may wake it before.
local function keep_watch(terms)
  local idle_us = terms.lease_us / 6
  local from = terms.held and string.format('(%.0f', terms.now_us) or '-inf' -- what is due already waits for the operator
  local next_due_us = tonumber(redis.call('ZRANGEBYSCORE', due, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]) or math.huge
  -- A suspect that is due already waits for its turn alone, and who is chosen for it comes back by itself.
  local next_suspect = redis.call('ZRANGEBYSCORE', suspects, string.format('(%.0f', terms.now_us), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local next_us = math.min(terms.now_us + until_expiry_us(terms), next_due_us, tonumber(next_suspect[2]) or math.huge)
  if next_us - terms.now_us > idle_us then return 'block', idle_us end
  local holder, until_us = unpack(redis.call('HMGET', sched, 'watch', 'watch_until_us'))
  if holder and holder ~= dispatcher and tonumber(until_us) > terms.now_us then return 'block', idle_us end
  redis.call('HSET', sched, 'watch', dispatcher, 'watch_until_us', next_us + TURN_GRACE_US)
  return 'block', math.max(0, next_us - terms.now_us)
end
