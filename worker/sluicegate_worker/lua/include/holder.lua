-- holder: who holds a request in flight, and for how long. The entry of `run` is the fence: each delivery has its own.
local CLAIMED_AT_ONCE = 1000

local function holds(id, fence)
  return redis.call('HGET', request_key(id), 'place') == 'run ' .. fence
end

-- The lease begins anew. JUSTID: it is no new delivery.
local function keep(dispatcher, fences)
  for at = 1, #fences, CLAIMED_AT_ONCE do
    local command = { 'XCLAIM', run, 'dispatchers', dispatcher, 0, unpack(fences, at, math.min(#fences, at + CLAIMED_AT_ONCE - 1)) }
    command[#command + 1] = 'JUSTID'
    redis.call(unpack(command))
  end
end

-- What the entry says of the delivery; nothing where it was deleted.
local function read_entry(fence)
  local entry = redis.call('XRANGE', run, fence, fence)[1]
  local fields = {}
  for at = 1, entry and #entry[2] or 0, 2 do fields[entry[2][at]] = entry[2][at + 1] end
  return fields
end
