-- solitude: what may have been the death of its dispatchers is leased alone, so that the next crash tells. One such request in a pool
-- at a time; the dispatcher that is chosen for it leases nothing else until it is empty, and then nothing but it.

local PATIENCE_US = 30000000
local PAROLED_AT_ONCE = 50

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

-- Who waits for long to be leased alone, behind slow calls or many others, is tried in company once more: its deadline runs. After
-- the next crash it has to wait for its turn, so that poison kills in company once more at most.
local function end_patience(now_us, poison_after)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', suspects, '-inf', now_us - PATIENCE_US, 'LIMIT', 0, PAROLED_AT_ONCE)) do
    local place, facts, crashes = unpack(redis.call('HMGET', request_key(id), 'place', 'facts', 'crashes'))
    local stream, entry = split_place(place)
    local agent = read_facts(facts)
    if stream == 'retry' and agent and (tonumber(crashes) or 0) < poison_after and redis.call('HGET', sched, 'lone') ~= id then
      local due_us = redis.call('ZSCORE', suspects, id)
      leave_delay(id, entry)
      enter_delay(id, agent, due_us, 'retry')
    end
  end
end
