-- release: how a request in flight is let go of. What is in flight and what is reserved change only together with its entry, so that
-- letting go twice counts once. Either half of the entry may be missing: a group can be destroyed by hand, an entry deleted.

local AT_ONCE = 1000
local let_go = {} -- fences, until they are struck out together

local function strike_out()
  for at = 1, #let_go, AT_ONCE do
    local last = math.min(#let_go, at + AT_ONCE - 1)
    redis.call('XACK', run, 'dispatchers', unpack(let_go, at, last))
    redis.call('XDEL', run, unpack(let_go, at, last))
  end
  let_go = {}
end

-- A request that is where its fence says has what the entry says in its own hash, and has been read already.
local function read_delivery(fence, upstream, request)
  if request and request.call and request.place == 'run ' .. fence then
    return read_call(request.call, { agent = request.agent, upstream = upstream }), true
  end
  return read_entry(fence)
end

-- `tokens_in` and `tokens_out`: what the provider has counted; nil where the reservation stands.
-- Returns the entry and its bucket, or nil where somebody else let go of it before.
local function release(fence, upstream, now_us, tokens_in, tokens_out, request)
  local entry, exists = read_delivery(fence, upstream, request)
  if exists then
    if let_go[fence] then return nil end
    let_go[#let_go + 1] = fence
    let_go[fence] = true
  elseif redis.call('XACK', run, 'dispatchers', fence) == 0 then return nil end
  if not upstream then return nil end
  local bucket = bucket_of(upstream, now_us)
  if bucket.in_flight >= bucket.max_in_flight then bucket.wakes = true end
  if bucket.in_flight > 0 then set(bucket, 'in_flight', bucket.in_flight - 1) end
  local reserved_in, reserved_out = tonumber(entry.tokens_in) or 0, tonumber(entry.tokens_out) or 0
  set(bucket, 'settled_in', bucket.settled_in + reserved_in)
  set(bucket, 'settled_out', bucket.settled_out + reserved_out)
  if tokens_in then
    correct(bucket, tonumber(entry.slot_us), reserved_in, reserved_out, tokens_in, tokens_out, now_us)
    tally(upstream, now_us, 'tokens', tokens_in + tokens_out)
  end
  land(entry.agent)
  return entry, bucket
end
