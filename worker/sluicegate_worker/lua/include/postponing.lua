-- postponing: how a request that was leased goes back to where it waits for its next lease.

-- How it is to be leased again, by the crashes that it saw: alone, if the next crash is to tell whether it was the cause.
local function kind_of_delay(crashes, poison_after)
  return poison_after > 1 and crashes >= poison_after - 1 and 'lone' or 'retry'
end

-- Past its deadline it ends as expired. What was leased but not sent does not count as a call.
local function postpone(id, request, due_us, sent, poison_after, now_us, ttl_ms)
  if not sent then
    request.sends = math.max(0, (tonumber(request.sends) or 0) - 1)
    redis.call('HSET', request_key(id), 'sends', request.sends)
  end
  if tonumber(request.deadline_us) <= now_us then
    finish_unanswered(id, request, 'expired', now_us, ttl_ms)
    return 'expired'
  end
  local crashes = tonumber(redis.call('HGET', request_key(id), 'crashes')) or 0
  enter_delay(id, request.agent, due_us, kind_of_delay(crashes, poison_after))
  redis.call('ZADD', expiry, request.deadline_us, id)
  return 'delayed'
end
