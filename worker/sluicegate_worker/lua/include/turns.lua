-- turns: how a dispatcher gives up what it is for an upstream, and who is woken instead.

-- `role`: turn | deputy, as `watching` has it.
local function give_up(role, upstream, dispatcher)
  if redis.call('HGET', upstream_key(upstream), role) == dispatcher then
    redis.call('HDEL', upstream_key(upstream), role, role .. '_until_us')
  end
end

local function pass_token()
  redis.call('HDEL', sched, 'asleep_until_us')
  put_token()
end
