-- description: a request that has not ended well, as lists show it; read only.

local function read_holder(entry)
  local found = redis.pcall('XPENDING', run, 'dispatchers', entry, entry, 1)
  if found.err or not found[1] then return '', '' end
  return found[1][2], found[1][3]
end

-- {stream, entry, id, agent, lane, accepted_us, deadline_us, sends, head, history, due_us, dispatcher, idle_ms}, or nil where the
-- request is not at `place`. Nothing of a request that another's hand has damaged need be there.
local function describe(id, place)
  local known_place, facts, sends, head, history =
    unpack(redis.call('HMGET', request_key(id), 'place', 'facts', 'sends', 'head', 'history'))
  if known_place ~= place then return nil end
  local agent, lane, accepted_us, deadline_us = unpack(split_facts(facts))
  local stream, entry = string.match(place, '^(%a+) (%d+%-%d+)$')
  local due_us, dispatcher, idle_ms = '', '', ''
  if stream == 'retry' then due_us = redis.call('ZSCORE', due, id) or redis.call('ZSCORE', suspects, id) or '' end
  if stream == 'run' then dispatcher, idle_ms = read_holder(entry) end
  return { stream or '', entry or '', id, agent or '', lane or '', accepted_us or '', deadline_us or '', sends or '0', head or '',
    history or '', due_us, dispatcher, idle_ms }
end
