-- solitude: what may have been the death of its dispatchers is leased alone, so that the next crash tells. One such request in a pool
-- at a time; the dispatcher that is chosen for it leases nothing else until it is empty, and then nothing but it.

-- Whether the request is still what the pool is being careful about: it flies, or could.
local function concerns(id, now_us)
  local stream = split_place(redis.call('HGET', request_key(id), 'place') or '')
  if stream == 'run' then return true, true end
  local due_us = tonumber(redis.call('ZSCORE', suspects, id))
  return due_us ~= nil and due_us <= now_us, false
end

-- What this dispatcher may lease: 'all', 'none', or 'one' and its id.
local function choose_company(dispatcher, now_us, lease_us)
  local id, chosen, until_us = unpack(redis.call('HMGET', sched, 'lone', 'lone_dispatcher', 'lone_until_us'))
  if id then
    local concerned, flies = concerns(id, now_us)
    if concerned and chosen ~= dispatcher and (flies or (tonumber(until_us) or 0) > now_us) then return 'all' end
    if not concerned then
      redis.call('HDEL', sched, 'lone', 'lone_dispatcher', 'lone_until_us')
      id = nil
    end
  end
  id = id or redis.call('ZRANGEBYSCORE', suspects, '-inf', now_us, 'LIMIT', 0, 1)[1]
  if not id then return 'all' end
  redis.call('HSET', sched, 'lone', id, 'lone_dispatcher', dispatcher, 'lone_until_us', now_us + lease_us)
  if redis.call('XPENDING', run, 'dispatchers', '-', '+', 1, dispatcher)[1] then return 'none' end
  return 'one', id
end
