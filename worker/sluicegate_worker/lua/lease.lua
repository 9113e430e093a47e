#!lua flags=allow-oom
--[[
lease: hands a dispatcher the next requests with their slots, or says how long to wait and who stays awake meanwhile.

One atomic step: the upstream whose bucket opens first, the fairest request, the charge to both, the move into `run` and its
delivery through the consumer group. Every call also answers what has expired, lets in what has come due and takes back what nobody
renews. The new place is written before the old one is deleted, so that an error in between leaves a double, which is found here,
and never a loss.

KEYS    config      HASH    the pool's policy
        sched       HASH    virtual time, counters, whose turn it is
        run         STREAM  in flight
        retry       STREAM  delayed
        due         ZSET    when delayed requests are due
        idle        ZSET    where agents without work had got to
        served      ZSET    what agents were charged since they began to wait
        expiry      ZSET    deadlines of what waits
        dead        STREAM  dead letters
        wake        LIST    the token
ARGV    dispatcher  text    the consumer's name
        count       int     requests that it has room for, at most 200
        bytes       int     bodies that it takes at once; the first always fits
        lead_us     int     how late its replies come; no slot is earlier
EACH    upstream    text    an upstream that it can serve
RETURNS "no pool", or
        {now_us, version, verdict, wait_us, expired, undecodable, fence, id, slot_us, upstream, lane, agent, attempts, sends, deadline_us,
        accepted_us, head, body, digest, … once per request}
        verdict: full: ask again when there is room · turn: sleep wait_us, pass the token on · block: wait_us at most, for the token
        mend: another's hand has damaged keys of the pool
        lone: ask again when nothing is in flight, or after wait_us: then comes a request that must be alone
]]
-- @include clock keys lanes places outcome wake holder release history postponing silence burial reclaiming solitude bucket picking

local STRAYS_AT_ONCE, EXPIRED_AT_ONCE, PROMOTED_AT_ONCE, DROPPED_AT_ONCE = 100, 100, 50, 100
local TURN_GRACE_US = 100000
local EXPIRY_STEP_US = 50000

local settings = redis.call('HMGET', config, 'version', 'horizon_us', 'lease_us', 'reply_ttl_ms', 'dead_ttl_ms', 'poison_after')
if not settings[1] then return 'no pool' end
local version = settings[1]
for at = 2, #settings do settings[at] = tonumber(settings[at]) end
local horizon_us, lease_us, reply_ttl_ms, dead_ttl_ms, poison_after = unpack(settings, 2)
local now_us = read_clock_us()
count, bytes, lead_us = tonumber(count), tonumber(bytes), math.min(tonumber(lead_us), horizon_us / 2)
local expired, undecodable = 0, 0

-- An entry that was in flight when the group was destroyed goes back to its holder. Returns false for any other that nobody was
-- given: planted by hand, or left by a call that broke off, or by one whose request has ended.
local function return_to_holder(fence, entry)
  if not entry.id or not entry.dispatcher or not holds(entry.id, fence) then return false end
  keep(entry.dispatcher, { fence })
  return true
end

-- What still waits elsewhere is only a double. Returns whether all strays are gone: until then nothing can be claimed, for the group
-- delivers the oldest first.
local function sweep_strays()
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
        bury_undecodable(stray[2], 'run', '', now_us, dead_ttl_ms)
        undecodable = undecodable + 1
      end
      release(stray[1], ended and entry.upstream) -- only what was delivered counts as in flight, and so has ended
    end
  end
  return #strays < STRAYS_AT_ONCE
end

local function expire(id)
  local request = read_request(id)
  if request then finish_unanswered(id, request, 'expired', now_us, reply_ttl_ms) else end_damaged(id, reply_ttl_ms) end
  redis.call('ZREM', expiry, id)
  expired = expired + 1
end

local function answer_expired()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now_us, 'LIMIT', 0, EXPIRED_AT_ONCE)) do expire(id) end
end

-- What was only to be sent later enters its agent's backlog when its time has come; retries stay until they are leased.
local function promote_due()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now_us, 'LIMIT', 0, PROMOTED_AT_ONCE)) do
    local request = read_request(id)
    local stream, entry = split_place(request and request.place)
    local found = stream == 'retry' and redis.call('XRANGE', retry, entry, entry)[1]
    if found and found[2][6] == 'later' then
      enter_backlog(id, request.lane, request.agent)
      leave_delay(id, entry)
    end
  end
end

local function opens_first(buckets, usable)
  local best
  for _, bucket in ipairs(buckets) do
    if usable(bucket) and (not best or opens_us(bucket) < opens_us(best)) then best = bucket end
  end
  return best
end

local function has_room(bucket) return bucket.in_flight + bucket.sends < bucket.max_in_flight end

-- What cannot be sent costs nothing: it is answered, kept among the dead letters or, as a double, forgotten, and the next is looked at.
local function drop(picked)
  if picked.from then picker.taken[picked.from] = picker.taken[picked.from] - 1 end
  if picked.expired then return expire(picked.expired) end
  if picked.undecodable then
    local damaged = picked.id and redis.call('EXISTS', request_key(picked.id)) == 1
    bury_undecodable(picked.undecodable, picked.from or 'due', damaged and picked.id or '', now_us, dead_ttl_ms)
    if damaged then
      if picked.from and redis.call('XDEL', picked.from, picked.entry) == 1 then redis.call('HINCRBY', sched, 'waiting', -1) end
      end_damaged(picked.id, reply_ttl_ms)
    end
    undecodable = undecodable + 1
  end
  if not picked.due then redis.call('XDEL', picked.from, picked.entry) end
  if picked.due then redis.call('ZREM', due, picked.due) end
  if picked.due then redis.call('ZREM', suspects, picked.due) end
end

-- Claims as many requests as may be sent now. Returns them and why it stopped: full | closed | empty.
local function claim(buckets)
  local claimed, size, dropped = {}, 0, 0
  while #claimed < count and size < bytes and dropped < DROPPED_AT_ONCE do
    local bucket = opens_first(buckets, has_room)
    if not bucket or math.max(opens_us(bucket), now_us + lead_us) > now_us + horizon_us then return claimed, 'closed' end
    local picked = pick()
    if not picked then return claimed, picker.lost < LOST_AT_ONCE and 'empty' or 'full' end
    if not picked.carried then
      drop(picked)
      dropped = dropped + 1
    else
      picked.upstream, picked.slot_us = bucket.name, take_slot(bucket, now_us + lead_us)
      local envelope = { 'id', picked.id, 'agent', picked.carried[3], 'upstream', picked.upstream, 'slot_us', picked.slot_us,
        'send', picked.carried[6] + 1, 'dispatcher', dispatcher, 'leased_us', now_us, picker.alone and 'alone' or nil, picker.alone and '1' or nil }
      picked.fence = redis.call('XADD', run, '*', unpack(envelope))
      size = size + #picked.carried[9]
      claimed[#claimed + 1] = picked
    end
  end
  return claimed, 'full'
end

-- Delivers what was claimed, then takes it out of where it waited.
local function deliver(claimed)
  if #claimed > 0 then redis.call('XREADGROUP', 'GROUP', 'dispatchers', dispatcher, 'COUNT', #claimed, 'STREAMS', run, '>') end
  local fresh = 0
  for _, picked in ipairs(claimed) do
    redis.call('HSET', request_key(picked.id), 'place', 'run ' .. picked.fence, 'sends', picked.carried[6] + 1)
    redis.call('ZREM', expiry, picked.id)
    if picked.due then leave_delay(picked.due, picked.entry) else redis.call('XDEL', picked.from, picked.entry) end
    if picked.fresh then fresh = fresh + 1 end
  end
  for backlog in pairs(picker.taken) do
    if redis.call('XLEN', backlog) == 0 then redis.call('DEL', backlog) end
  end
  if fresh > 0 then redis.call('HINCRBY', sched, 'waiting', -fresh) end
end

-- Deadlines do not wait for the bucket; a crowd of them is answered together.
local function until_expiry_us()
  local next_end = tonumber(redis.call('ZRANGE', expiry, 0, 0, 'WITHSCORES')[2])
  return next_end and math.max(EXPIRY_STEP_US, next_end - now_us) or math.huge
end

-- Who stays awake: one dispatcher per upstream sleeps until half the horizon is free, the others wait for the token.
local function keep_turn(buckets)
  local until_us = math.huge
  local mine = opens_first(buckets, function(bucket)
    if not has_room(bucket) then return false end
    if bucket.turn == dispatcher or bucket.turn_until_us <= now_us then return true end
    until_us = math.min(until_us, bucket.turn_until_us)
    return false
  end)
  if not mine then
    local no_turn = until_us == math.huge -- every upstream is full, and nobody is up for the deadlines
    return 'block', math.min(until_us - now_us, lease_us / 6, no_turn and until_expiry_us() or math.huge)
  end
  local wait_us = math.max(0, math.min(opens_us(mine) - horizon_us / 2 - now_us, lease_us / 6, until_expiry_us()))
  local expires_us = now_us + wait_us + TURN_GRACE_US
  redis.call('HSET', upstream_key(mine.name), 'turn', dispatcher, 'turn_until_us', expires_us)
  redis.call('HSET', sched, 'asleep_until_us', expires_us)
  return 'turn', wait_us
end

-- With nothing to send now, one dispatcher is up in time for the next that comes due or expires; a token may wake it before.
local function keep_watch()
  local idle_us = lease_us / 6
  local next_due_us = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]) or math.huge
  -- A suspect that is due already waits for its turn alone, and who is chosen for it comes back by itself.
  local next_suspect = redis.call('ZRANGEBYSCORE', suspects, string.format('(%.0f', now_us), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local next_us = math.min(now_us + until_expiry_us(), next_due_us, tonumber(next_suspect[2]) or math.huge)
  if next_us - now_us > idle_us then return 'block', idle_us end
  local holder, until_us = unpack(redis.call('HMGET', sched, 'watch', 'watch_until_us'))
  if holder and holder ~= dispatcher and tonumber(until_us) > now_us then return 'block', idle_us end
  redis.call('HSET', sched, 'watch', dispatcher, 'watch_until_us', next_us + TURN_GRACE_US)
  return 'block', math.max(0, next_us - now_us)
end

if not tonumber(version) or redis.call('HGET', sched, 'trouble') then return { now_us, tonumber(version) or 0, 'mend', 0, 0, 0 } end
local swept = sweep_strays()
local flying = redis.call('XLEN', run) > 0
-- The usual call of an idle dispatcher ends here: nothing waits, flies or is delayed, or has a clock to be wound up.
if not flying and redis.call('EXISTS', ring_key('interactive'), ring_key('batch'), due, suspects, expiry, idle, served) == 0 then
  return { now_us, version, 'block', lease_us / 6, 0, undecodable }
end
local grace_until_us = note_voice(now_us, lease_us)
if flying then
  reclaim(now_us, lease_us, grace_until_us, { poison_after = poison_after, ttl_ms = reply_ttl_ms, dead_ttl_ms = dead_ttl_ms })
end
answer_expired()
promote_due()
end_patience(now_us, poison_after)
local company, lone = 'all', nil
if count > 0 then company, lone = choose_company(dispatcher, now_us, lease_us) end
local buckets = {}
for upstream in each() do buckets[#buckets + 1] = open_bucket(upstream, now_us) end
for _, bucket in ipairs(flying and {} or buckets) do bucket.in_flight = 0 end -- whatever other hands did to the counter ends here
load_picker(now_us, count, lone)
local claimed, stopped = {}, 'full'
if swept and company ~= 'none' then claimed, stopped = claim(buckets) end
deliver(claimed)
save_picker()
for _, bucket in ipairs(buckets) do close_bucket(bucket, now_us, bucket.sends) end
send_bells(reply_ttl_ms)
finish_releases()

local verdict, wait_us = 'full', 0
if company == 'none' then
  verdict, wait_us = 'lone', lease_us / 6
  wake_one(now_us)
elseif stopped == 'full' or lone and stopped == 'empty' then wake_one(now_us)
elseif stopped == 'closed' and (picker.due[picker.due_at] or fresh_waits('interactive') or fresh_waits('batch')) then
  verdict, wait_us = keep_turn(buckets)
else verdict, wait_us = keep_watch() end

local answer = { now_us, version, verdict, wait_us, expired, undecodable }
for _, picked in ipairs(claimed) do
  local carried = picked.carried
  for _, value in ipairs({ picked.fence, picked.id, picked.slot_us, picked.upstream, carried[2], carried[3], carried[5], carried[6] + 1,
    carried[7], carried[1], carried[8], carried[9], carried[10] }) do
    answer[#answer + 1] = value
  end
end
return answer
