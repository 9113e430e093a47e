#!lua flags=allow-oom
--[[
recount: counts what waits and what is in flight, and sets the counters to that. In a pool with more requests than may be counted at
once they stay as they are. What is not in flight has its deadline in `expiry`.

KEYS    config      HASH    the pool's policy
        sched       HASH    counters
        run         STREAM  in flight
        expiry      ZSET    deadlines of what waits
RETURNS 1, or 0 where there was too much to count
]]
-- @include keys

local COUNTED_MOST = 20000

if redis.call('XLEN', run) + redis.call('ZCARD', expiry) > COUNTED_MOST then return 0 end
local bytes, waiting, flights, weighed = 0, 0, {}, {}

local function weigh(id)
  if weighed[id] then return end
  weighed[id] = true
  bytes = bytes + (tonumber(redis.call('HGET', request_key(id), 'bytes')) or 0)
end

-- A lease that broke off has left an entry whose request is still where it was: nobody holds it, nobody will let go of it.
local function is_double(id, entry)
  local place = redis.call('HGET', request_key(id), 'place')
  return place and place ~= 'run ' .. entry
end

for _, entry in ipairs(redis.call('XRANGE', run, '-', '+')) do
  local fields = {}
  for at = 1, #entry[2], 2 do fields[entry[2][at]] = entry[2][at + 1] end
  if fields.id then weigh(fields.id) end
  if fields.id and fields.upstream and not is_double(fields.id, entry[1]) then flights[fields.upstream] = (flights[fields.upstream] or 0) + 1 end
end
for _, id in ipairs(redis.call('ZRANGE', expiry, 0, -1)) do weigh(id) end
for _, lane in ipairs({ 'interactive', 'batch' }) do
  for _, agent in ipairs(redis.call('ZRANGE', ring_key(lane), 0, COUNTED_MOST)) do
    waiting = waiting + redis.call('XLEN', backlog_key(lane, agent))
  end
end
redis.call('HSET', sched, 'waiting', waiting, 'bytes', bytes)
for _, field in ipairs(redis.call('HKEYS', config)) do
  local name = string.match(field, '^price_us:(.+)$')
  if name then redis.call('HSET', upstream_key(name), 'in_flight', flights[name] or 0) end
end
return 1
