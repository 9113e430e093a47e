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

-- A delivery as its entry of `run` says it: id, agent, upstream, and in one text what has to be known when the call ends. The parts of
-- a long entry would cost more to hand over than all else that is done with them.
local CALL_FORM = '%d %d %d %d %d %d %s %s %s %d %d %d %d%s'
local CALL = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%a+) (.*)$'
local REST = '^(%-?[%d.]+) (%S+) (%d+) (%d+) (%d+) (%d+)(.*)$'

-- `start_us` alone may have a fraction.
local function write_call(slot_us, leased_us, tokens_in, tokens_out, tokens, cost, lane, start_us, dispatcher, send, bucket, alone)
  local start = string.format(start_us == math.floor(start_us) and '%d' or '%.3f', start_us)
  return string.format(CALL_FORM, slot_us, leased_us, tokens_in, tokens_out, tokens, cost, lane, start, dispatcher, send,
    bucket.handed_calls, bucket.handed_in, bucket.handed_out, alone and ' alone' or '')
end

-- What is asked of every call; `complete` adds the rest.
local function read_call(text, fields)
  fields.slot_us, fields.leased_us, fields.tokens_in, fields.tokens_out, fields.tokens, fields.cost, fields.lane, fields.rest =
    string.match(text or '', CALL)
  return fields
end

local function complete(fields)
  local alone
  fields.start_us, fields.dispatcher, fields.send, fields.handed_calls, fields.handed_in, fields.handed_out, alone =
    string.match(fields.rest or '', REST)
  fields.alone = alone == ' alone' or nil
  return fields
end

local function parse_entry(values)
  local fields = {}
  for at = 1, #values, 2 do fields[values[at]] = values[at + 1] end
  return complete(read_call(fields.call, fields))
end

-- Nothing where it was deleted; the second value says whether it is there.
local function read_entry(fence)
  local entry = redis.call('XRANGE', run, fence, fence)[1]
  return entry and parse_entry(entry[2]) or {}, entry ~= nil
end
