-- reclaiming: takes back what nobody renews. A request is moved and never claimed for another, so that each delivery has a fence of
-- its own; it comes back through the bucket, so that a crash does not become a burst.
local RECLAIMED_AT_ONCE = 100
local RECLAIM_STEP_US = 1000000
local SILENT_BYTES = 4096
local ABSENT_LEASES = 90

local function note_silence(id, request, holder, upstream, now_us)
  add_note(id, string.format('{"attempt":%d,"at":%.6f,"upstream":%s,"status":null,"error":%s}', tonumber(request.sends) or 0,
    now_us / 1000000, cjson.encode(upstream or ''), cjson.encode('dispatcher ' .. holder .. ' fell silent during this call')))
end

-- How many dispatchers fell silent so far, each counted once, and not those that held nothing but one suspect.
local function count_deaths(holder, alone)
  local names, deaths = unpack(redis.call('HMGET', sched, 'silent', 'deaths'))
  names, deaths = names or ' ', tonumber(deaths) or 0
  if alone or string.find(names, ' ' .. holder .. ' ', 1, true) then return deaths end
  redis.call('HSET', sched, 'silent', string.sub(' ' .. holder .. names, 1, SILENT_BYTES), 'deaths', deaths + 1)
  return deaths + 1
end

-- Counts a crash of the request's holder. Each dispatcher that fell silent since its first crash without having it in hand is an
-- alibi: something else ends dispatchers here, so that as many more crashes are needed before they are held against the request,
-- but never more than twice as many: among dispatchers that die all the time, poison has to end too.
-- Returns the crashes, and how many of them prove nothing.
local function count_crash(id, holder, alone, poison_after)
  local known, seen = unpack(redis.call('HMGET', request_key(id), 'crashes', 'deaths'))
  local crashes, deaths = (tonumber(known) or 0) + 1, count_deaths(holder, alone)
  seen = crashes == 1 and deaths or (tonumber(seen) or deaths) + (alone and 0 or 1)
  redis.call('HSET', request_key(id), 'crashes', crashes, 'deaths', seen)
  return crashes, math.max(0, math.min(deaths - seen, poison_after))
end

-- Only this counts as a crash, and it uses up no attempt: why the holder fell silent is not known, nor whether the call was made.
local function take_back(id, request, entry, holder, now_us, terms)
  local crashes, alibis = count_crash(id, holder, entry.alone, terms.poison_after)
  add_up('reclaimed', 1)
  note_silence(id, request, holder, entry.upstream, now_us)
  local reason = request.on_unknown == 'dead' and 'on_unknown'
    or crashes >= terms.poison_after + alibis and (entry.alone or terms.poison_after == 1) and 'poison'
  if not reason or tonumber(request.deadline_us) <= now_us then
    return postpone(id, request, now_us, true, terms.poison_after, now_us, terms.ttl_ms)
  end
  local problem = reason == 'poison' and string.format('the %d dispatchers that called it all fell silent', crashes)
    or 'its dispatcher fell silent, and it is not to be called twice'
  local reply = describe_end(id, request, 'dead', now_us, string.format(',"reason":"%s"', reason))
  bury_request(id, request, reason, '', problem, reply, now_us, terms.ttl_ms, terms.dead_ttl_ms)
end

-- A dispatcher that crashed never leaves by itself. It is shown as dead for a while, and then struck from the group.
local function call_the_roll(now_us, lease_us)
  if (tonumber(redis.call('HGET', sched, 'roll_call_at_us')) or 0) > now_us then return end
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', run, 'dispatchers')) do
    local name, pending, idle_ms = consumer[2], consumer[4], consumer[6]
    -- Never one that holds something: what it was given would be forgotten with it.
    if pending == 0 and idle_ms * 1000 > ABSENT_LEASES * lease_us then redis.call('XGROUP', 'DELCONSUMER', run, 'dispatchers', name) end
  end
  redis.call('HSET', sched, 'roll_call_at_us', now_us + ABSENT_LEASES * lease_us / 10)
end

-- Once a second is often enough for a whole pool.
local function reclaim(now_us, lease_us, grace_until_us, terms)
  local next_us = tonumber(redis.call('HGET', sched, 'reclaim_at_us')) or 0
  if grace_until_us > now_us or next_us > now_us then return end
  local silent = redis.call('XPENDING', run, 'dispatchers', 'IDLE', math.ceil(lease_us / 1000), '-', '+', RECLAIMED_AT_ONCE)
  for _, found in ipairs(silent) do
    local fence, holder = found[1], found[2]
    local entry = read_entry(fence)
    if entry.id and holds(entry.id, fence) then
      local request = read_request(entry.id)
      if request then take_back(entry.id, request, entry, holder, now_us, terms) else end_damaged(entry.id, terms.ttl_ms) end
    end
    release(fence, entry.upstream, now_us)
  end
  strike_out()
  call_the_roll(now_us, lease_us)
  if #silent < RECLAIMED_AT_ONCE then redis.call('HSET', sched, 'reclaim_at_us', now_us + RECLAIM_STEP_US) end
end
