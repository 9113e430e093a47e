-- description: a request that has not ended well, as lists show it; read only.
local DESCRIBED = { 'place', 'agent', 'lane', 'accepted_us', 'deadline_us', 'sends', 'head', 'history' }

local function read_holder(entry)
  local found = redis.pcall('XPENDING', run, 'dispatchers', entry, entry, 1)
  if found.err or not found[1] then return '', '' end
  return found[1][2], found[1][3]
end

-- {stream, entry, id, agent, lane, accepted_us, deadline_us, sends, head, history, due_us, dispatcher, idle_ms}, or nil where the
-- request is not at `place`. Nothing of a request that another's hand has damaged need be there.
local function describe(id, place)
  local kept = redis.call('HMGET', request_key(id), unpack(DESCRIBED))
  if kept[1] ~= place then return nil end
  for at = 1, #DESCRIBED do kept[at] = kept[at] or '' end
  local stream, entry = string.match(place, '^(%a+) (%d+%-%d+)$')
  local due_us, dispatcher, idle_ms = '', '', ''
  if stream == 'retry' then due_us = redis.call('ZSCORE', due, id) or redis.call('ZSCORE', suspects, id) or '' end
  if stream == 'run' then dispatcher, idle_ms = read_holder(entry) end
  return { stream or '', entry or '', id, kept[2], kept[3], kept[4], kept[5], kept[6], kept[7], kept[8], due_us, dispatcher, idle_ms }
end
