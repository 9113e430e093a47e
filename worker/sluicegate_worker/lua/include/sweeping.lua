-- sweeping: entries of `run` that nobody was given, which whoever leases next would be given instead of what it claims.
local STRAYS_AT_ONCE = 100

-- An entry that was in flight when the group was destroyed goes back to its holder. Returns false for any other that nobody was
-- given: planted by hand, or left by a call that broke off, or by one whose request has ended.
local function return_to_holder(fence, entry)
  if not entry.id or not entry.dispatcher or not holds(entry.id, fence) then return false end
  keep(entry.dispatcher, { fence })
  return true
end

-- What still waits elsewhere is only a double. Returns whether all strays are gone: until then nothing can be claimed, for the group
-- delivers the oldest first.
local function sweep_strays(terms)
  local answer = redis.call('XREADGROUP', 'GROUP', 'dispatchers', dispatcher, 'COUNT', STRAYS_AT_ONCE, 'STREAMS', run, '>')
  -- Redis 7.0 enlists only who is given something; the others are to be seen, too.
  if not answer then redis.call('XGROUP', 'CREATECONSUMER', run, 'dispatchers', dispatcher) end
  local strays = answer and answer[1][2] or {}
  for _, stray in ipairs(strays) do
    local entry = read_entry(stray[1])
    if not return_to_holder(stray[1], entry) then
      local waits = entry.id and redis.call('EXISTS', request_key(entry.id)) == 1
      local ended = entry.id and not waits and redis.call('EXISTS', reply_key(entry.id)) == 1
      if not waits and not ended then
        bury_undecodable(stray[2], 'run', '', terms.now_us, terms.dead_ttl_ms)
        terms.undecodable = terms.undecodable + 1
      end
      release(stray[1], ended and entry.upstream, terms.now_us) -- only what was delivered counts as in flight, and so has ended
    end
  end
  strike_out()
  return #strays < STRAYS_AT_ONCE
end
