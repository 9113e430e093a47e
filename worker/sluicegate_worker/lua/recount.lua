#!lua flags=allow-oom
--[[
recount: counts what waits and what is in flight, and sets the counters to that. In a pool with more requests than may be counted at
once they stay as they are. What is not in flight has its deadline in `expiry`.

KEYS    config      HASH    the pool's policy
        sched       HASH    counters
        run         STREAM  in flight
        idle        ZSET    where agents without work had got to
        expiry      ZSET    deadlines of what waits
        wake        LIST    the token
RETURNS 1, or 0 where there was too much to count
]]
-- @include keys lanes request wake holder shares

local COUNTED_MOST = 20000

if redis.call('XLEN', run) + redis.call('ZCARD', expiry) > COUNTED_MOST then return 0 end
local bytes, waiting, cost, weighed = 0, 0, 0, {}
local agents, upstreams = {}, {} -- what they have in flight

local function weigh(id)
  if weighed[id] then return end
  weighed[id] = true
  local facts, place = unpack(redis.call('HMGET', request_key(id), 'facts', 'place'))
  local _, _, _, _, _, _, size, price = read_facts(facts)
  bytes = bytes + (tonumber(size) or 0)
  if place and string.find(place, '^backlog ') then waiting, cost = waiting + 1, cost + (tonumber(price) or 0) end
end

local function add_flight(entry)
  local upstream = upstreams[entry.upstream] or { in_flight = 0, tokens_in = 0, tokens_out = 0 }
  upstreams[entry.upstream] = upstream
  upstream.in_flight = upstream.in_flight + 1
  for _, field in ipairs({ 'tokens_in', 'tokens_out' }) do upstream[field] = upstream[field] + (tonumber(entry[field]) or 0) end
  if entry.agent then agents[entry.agent] = (agents[entry.agent] or 0) + 1 end
end

-- A lease that broke off has left an entry whose request is still where it was: nobody holds it, nobody will let go of it.
local function is_double(id, entry)
  local place = redis.call('HGET', request_key(id), 'place')
  return place and place ~= 'run ' .. entry
end

for _, entry in ipairs(redis.call('XRANGE', run, '-', '+')) do
  local fields = parse_entry(entry[2])
  if fields.id then weigh(fields.id) end
  if fields.id and fields.upstream and not is_double(fields.id, entry[1]) then add_flight(fields) end
end
for _, id in ipairs(redis.call('ZRANGE', expiry, 0, -1)) do weigh(id) end
redis.call('HSET', sched, 'waiting', waiting, 'waiting_cost', cost, 'bytes', bytes)
set_flying(agents)
for _, field in ipairs(redis.call('HKEYS', config)) do
  local name = string.match(field, '^price_us:(.+)$')
  if name then
    local flies = upstreams[name] or { in_flight = 0, tokens_in = 0, tokens_out = 0 }
    redis.call('HSET', upstream_key(name), 'in_flight', flies.in_flight, 'handed_in', flies.tokens_in, 'settled_in', 0,
      'handed_out', flies.tokens_out, 'settled_out', 0)
  end
end
return 1
