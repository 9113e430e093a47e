-- turns: how a dispatcher gives up the turns that it holds, and who is woken instead.
local function give_up_turn(upstream, dispatcher)
  if redis.call('HGET', upstream_key(upstream), 'turn') == dispatcher then
    redis.call('HDEL', upstream_key(upstream), 'turn', 'turn_until_us')
  end
end

local function pass_token()
  redis.call('HDEL', sched, 'asleep_until_us')
  put_token()
end
