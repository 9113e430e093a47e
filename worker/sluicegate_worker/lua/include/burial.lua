-- burial: the dead letters, which end by age: each burial trims those that are too old, and without burials all end together.
local function bury(entry, now_us, dead_ttl_ms)
  redis.call('XTRIM', dead, 'MINID', string.format('%.0f-0', math.max(0, now_us / 1000 - dead_ttl_ms)))
  local letter = redis.call('XADD', dead, '*', 'id', entry.id, 'agent', entry.agent, 'reason', entry.reason, 'status', entry.status,
    'attempts', entry.attempts, 'error', entry.error, 'history', entry.history)
  redis.call('PEXPIRE', dead, dead_ttl_ms)
  return letter
end

-- The hash stays, with a time to live, for replay; `reply` is the outcome as the producer reads it.
local function bury_request(id, request, reason, status, problem, reply, now_us, ttl_ms, dead_ttl_ms)
  local entry = bury({ id = id, agent = request.agent, reason = reason, status = status, attempts = request.sends, error = problem,
    history = redis.call('HGET', request_key(id), 'history') or '' }, now_us, dead_ttl_ms)
  redis.call('HSET', request_key(id), 'place', 'dead ' .. entry)
  finish(id, request, 'dead', reply, ttl_ms, math.max(ttl_ms, dead_ttl_ms))
end

-- What nobody can read: kept as it was found, and out of the way of the others. `id` is empty where it names no request.
local function bury_undecodable(found, where, id, now_us, dead_ttl_ms)
  local text = {}
  for at = 1, math.min(#found, 20) do text[at] = string.sub(tostring(found[at]), 1, 200) end
  bury({ id = id, agent = '', reason = 'undecodable', status = '', attempts = 0, history = '', error = 'an entry of ' .. where ..
    ' that names ' .. (id == '' and 'no request: ' or 'a damaged request: ') .. table.concat(text, ' ') }, now_us, dead_ttl_ms)
end
