-- burial: the dead letters, which end by age.
local function bury(entry, now_us, dead_ttl_ms)
  redis.call('XTRIM', dead, 'MINID', string.format('%.0f-0', math.max(0, now_us / 1000 - dead_ttl_ms)))
  return redis.call('XADD', dead, '*', 'id', entry.id, 'agent', entry.agent, 'reason', entry.reason, 'status', entry.status,
    'attempts', entry.attempts, 'error', entry.error, 'history', entry.history)
end

-- What nobody can read: kept as it was found, and out of the way of the others.
local function bury_undecodable(found, where, now_us, dead_ttl_ms)
  local text = {}
  for at = 1, math.min(#found, 20) do text[at] = string.sub(tostring(found[at]), 1, 200) end
  bury({ id = '', agent = '', reason = 'undecodable', status = '', attempts = 0, history = '',
    error = 'an entry of ' .. where .. ' that names no request: ' .. table.concat(text, ' ') }, now_us, dead_ttl_ms)
end
