#!lua flags=no-writes
--[[
snapshot: where everything in a pool stands at one moment. Bounded: of agents, requests in flight, dispatchers and dead letters
the first 1,000 are looked at, the others only counted.

KEYS    config      HASH    the pool's policy
        sched       HASH    counters, virtual time
        run         STREAM  in flight
        due         ZSET    delayed
        served      ZSET    what agents were charged since they began to wait
        dead        STREAM  dead letters
RETURNS "no pool", or {now_us, version, policy, waiting, in flight, delayed, dead, next due_us, agents waiting in interactive, in batch,
        dispatchers, flights, reasons, agents, upstreams, waiting cost in us, 1 where the pool is held by hand,
        virtual us between the first and the last of the interactive ring}
        dispatchers: {name, pending, idle_ms, oldest entry, …} · flights: {lane, agent, …} · reasons of death, the newest first
        agents: {lane, agent, waiting, oldest entry, served_us, …} · upstreams: {name, its hash, 1 where it is held by hand, …}
]]
-- @include clock keys holder

local SEEN_MOST = 1000

local version, policy = unpack(redis.call('HMGET', config, 'version', 'policy'))
if not version then return 'no pool' end

local function append(flat, ...)
  for _, value in ipairs({ ... }) do flat[#flat + 1] = value end
end

-- A damaged pool without its group still has a status.
local function dispatchers()
  local flat, found = {}, redis.pcall('XINFO', 'CONSUMERS', run, 'dispatchers')
  if found.err then return flat end
  for at = 1, math.min(#found, SEEN_MOST) do
    local name, pending, idle_ms = found[at][2], found[at][4], found[at][6]
    local oldest = pending > 0 and redis.call('XPENDING', run, 'dispatchers', '-', '+', 1, name)[1]
    append(flat, name, pending, idle_ms, oldest and oldest[1] or '')
  end
  return flat
end

local function flights()
  local flat = {}
  for _, entry in ipairs(redis.call('XRANGE', run, '-', '+', 'COUNT', SEEN_MOST)) do
    local flight = parse_entry(entry[2])
    append(flat, flight.lane or '', flight.agent or '')
  end
  return flat
end

local function reasons()
  local flat = {}
  for _, entry in ipairs(redis.call('XREVRANGE', dead, '+', '-', 'COUNT', SEEN_MOST)) do append(flat, entry[2][6] or '') end
  return flat
end

local function agents()
  local flat = {}
  for _, lane in ipairs({ 'interactive', 'batch' }) do
    for _, agent in ipairs(redis.call('ZRANGE', ring_key(lane), 0, SEEN_MOST - 1)) do
      local backlog = backlog_key(lane, agent)
      local oldest = redis.call('XRANGE', backlog, '-', '+', 'COUNT', 1)[1]
      append(flat, lane, agent, redis.call('XLEN', backlog), oldest and oldest[1] or '', redis.call('ZSCORE', served, agent) or '0')
    end
  end
  return flat
end

local function upstreams()
  local flat = {}
  for _, field in ipairs(redis.call('HKEYS', config)) do
    local name = string.match(field, '^price_us:(.+)$')
    if name then append(flat, name, redis.call('HGETALL', upstream_key(name)), redis.call('HEXISTS', config, 'held:' .. name)) end
  end
  return flat
end

-- How far apart the agents that wait in a lane are: what fairness keeps small.
local function gap_us(lane)
  local ring = ring_key(lane)
  local first, last = redis.call('ZRANGE', ring, 0, 0, 'WITHSCORES')[2], redis.call('ZRANGE', ring, -1, -1, 'WITHSCORES')[2]
  return first and string.format('%.0f', last - first) or '0'
end

return { read_clock_us(), version, policy, redis.call('HGET', sched, 'waiting') or '0', redis.call('XLEN', run), redis.call('ZCARD', due) + redis.call('ZCARD', suspects),
  redis.call('XLEN', dead), redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or '', redis.call('ZCARD', ring_key('interactive')),
  redis.call('ZCARD', ring_key('batch')), dispatchers(), flights(), reasons(), agents(), upstreams(),
  redis.call('HGET', sched, 'waiting_cost') or '0', redis.call('HEXISTS', config, 'held'),
  gap_us('interactive') }
