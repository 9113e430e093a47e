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
        {now_us, version, verdict, wait_us, expired, undecodable, fence, id, slot_us, upstream, attempts, sends, facts, head, body, … once
        per request}; facts: as `include/request.lua` writes them
        verdict: full: ask again when there is room · turn: sleep wait_us, pass the token on · block: wait_us at most, for the token
        mend: another's hand has damaged keys of the pool
        lone: ask again when nothing is in flight, or after wait_us: then comes a request that must be alone
]]
-- @include clock keys lanes counters request places outcome wake holder costs budgets upstream tally pace breaker bucket shares release history
-- @include postponing silence burial reclaiming solitude rings picking sweeping moments claiming watching

local settings = redis.call('HMGET', config, 'version', 'horizon_us', 'lease_us', 'reply_ttl_ms', 'dead_ttl_ms', 'poison_after', 'held')
if not settings[1] then return 'no pool' end
local version = settings[1]
for at = 2, #settings do settings[at] = tonumber(settings[at]) end
local terms = { now_us = read_clock_us(), count = tonumber(count), bytes = tonumber(bytes), horizon_us = settings[2], lease_us = settings[3],
  reply_ttl_ms = settings[4], ttl_ms = settings[4], dead_ttl_ms = settings[5], poison_after = settings[6], held = settings[7] ~= nil, expired = 0,
  undecodable = 0 }
terms.lead_us = math.min(tonumber(lead_us), terms.horizon_us / 2)
local now_us, lease_us = terms.now_us, terms.lease_us
local held = terms.held -- by hand: everything goes on but the leasing

-- What this dispatcher can serve. In a pool where nothing flies, whatever other hands did to the counters ends here.
local function open_buckets(flying_now)
  local found = {}
  for upstream in each() do
    local bucket = bucket_of(upstream, now_us)
    if not flying_now then settle_all(bucket) end
    if bucket.known then found[#found + 1] = bucket end
  end
  if not flying_now then set_flying({}) end
  return found
end

if not tonumber(version) or redis.call('HGET', sched, 'trouble') then return { now_us, tonumber(version) or 0, 'mend', 0, 0, 0 } end
local swept = sweep_strays(terms)
local flies = redis.call('XLEN', run) > 0
-- The usual call of an idle dispatcher ends here: nothing waits, flies or is delayed, or has a clock to be wound up.
if not flies and redis.call('EXISTS', ring_key('interactive'), ring_key('batch'), due, suspects, expiry, idle, served) == 0 then
  save_buckets(now_us)
  return { now_us, version, 'block', lease_us / 6, 0, terms.undecodable }
end
local grace_until_us = note_voice(now_us, lease_us)
if flies then reclaim(now_us, lease_us, grace_until_us, terms) end
answer_expired(terms)
promote_due(terms)
end_patience(now_us, terms.poison_after)
local company, lone = 'all', nil
if terms.count > 0 and not held then company, lone = choose_company(dispatcher, now_us, lease_us) end
local found = open_buckets(flies)
load_picker(now_us, terms.count, lone)
local claimed, stopped = {}, held and 'empty' or 'full'
if swept and company ~= 'none' and not held then claimed, stopped = claim(found, terms) end
deliver(claimed)
save_flights()
save_counters()
save_picker()
save_buckets(now_us)
send_bells(terms.reply_ttl_ms)

retire(found)
local verdict, wait_us = 'full', 0
if company == 'none' then
  verdict, wait_us = 'lone', lease_us / 6
  wake_one(now_us)
elseif stopped == 'full' or lone and stopped == 'empty' then wake_one(now_us)
elseif stopped == 'closed' and (picker.due[picker.due_at] or fresh_waits('interactive') or fresh_waits('batch')) then
  verdict, wait_us = keep_turn(found, terms)
else verdict, wait_us = keep_watch(terms) end

local answer = { now_us, version, verdict, wait_us, terms.expired, terms.undecodable }
for _, picked in ipairs(claimed) do
  local carried = picked.carried
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4], answer[at + 5] =
    picked.fence, picked.id, picked.slot_us, picked.upstream, carried.attempts
  answer[at + 6], answer[at + 7], answer[at + 8], answer[at + 9] = carried.sends + 1, carried.facts, carried.head, carried.body
end
return answer
