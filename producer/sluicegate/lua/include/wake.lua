-- wake: one token wakes one idle dispatcher; while somebody holds the turn, nobody needs waking.
local function put_token()
  if redis.call('LLEN', wake) == 0 then redis.call('RPUSH', wake, '1') end
end

local function wake_one(now_us)
  local asleep_until_us = tonumber(redis.call('HGET', sched, 'asleep_until_us')) or 0
  if asleep_until_us < now_us then put_token() end
end
