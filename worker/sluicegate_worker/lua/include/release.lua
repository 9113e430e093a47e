-- release: how a request in flight is let go of. What is in flight and what is reserved change only together with its entry, so that
-- letting go twice counts once. Either half of the entry may be missing: a group can be destroyed by hand, an entry deleted.

-- `tokens_in` and `tokens_out`: what the provider has counted; nil where the reservation stands.
-- Returns the entry and its bucket, or nil where somebody else let go of it before.
local function release(fence, upstream, now_us, tokens_in, tokens_out)
  local entry = read_entry(fence)
  local acknowledged = redis.call('XACK', run, 'dispatchers', fence)
  if redis.call('XDEL', run, fence) + acknowledged == 0 or not upstream then return nil end
  local bucket = bucket_of(upstream, now_us)
  if bucket.in_flight >= bucket.max_in_flight then bucket.wakes = true end
  if bucket.in_flight > 0 then set(bucket, 'in_flight', bucket.in_flight - 1) end
  local reserved_in, reserved_out = tonumber(entry.tokens_in) or 0, tonumber(entry.tokens_out) or 0
  set(bucket, 'settled_in', bucket.settled_in + reserved_in)
  set(bucket, 'settled_out', bucket.settled_out + reserved_out)
  if tokens_in then
    correct(bucket, tonumber(entry.slot_us), reserved_in, reserved_out, tokens_in, tokens_out, now_us)
    tally(upstream, now_us, { tokens = tokens_in + tokens_out })
  end
  land(entry.agent)
  return entry, bucket
end
