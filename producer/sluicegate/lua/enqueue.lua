#!lua
--[[
enqueue: accepts requests into their agents' backlogs, or says of each why not.

Idempotent by id and by the agent's own key: who comes again with the same body joins those who wait, or gets the outcome.
Without allow-oom: a full server takes nothing new, but still drains.

KEYS    config          HASH    the pool's policy
        sched           HASH    counters, virtual time
        retry           STREAM  what has to wait for its time
        due             ZSET    when that is
        idle            ZSET    where agents without work had got to
        expiry          ZSET    deadlines
        wake            LIST    the token
ARGV    producer        text    whose inbox is rung
EACH    id              text    UUIDv7
        agent           text
        lane            text    interactive | batch
        key             text    idempotency key, or empty
        digest          text    of method, path and body: the same id or key with another is refused
        head            text    JSON: method, path, headers, model; opaque here
        body            bytes
        deadline_us     int     from now; 0: the pool's default
        not_before_us   int     from now; 0: at once
        on_unknown      text    retry | dead
RETURNS "no pool", or the policy's version and per request {answer, id, …}:
        waiting|delayed|in_flight, position, eta_us · final, reply · conflict · too_large, limit
        agent_full|pool_full, retry_after_us · would_miss, eta_us
]]
-- @include clock keys lanes places wake watchers

local limits = redis.call('HMGET', config, 'version', 'max_backlog', 'max_backlog_per_agent', 'max_backlog_bytes',
  'max_request_bytes', 'deadline_us', 'reply_ttl_ms', 'price_us')
if not limits[1] then return 'no pool' end
local version = limits[1]
for at = 2, #limits do limits[at] = tonumber(limits[at]) end
local max_backlog, max_per_agent, max_bytes, max_request_bytes, default_deadline_us, reply_ttl_ms, price_us = unpack(limits, 2)
local now_us = read_clock_us()

-- An agent's n-th request is served after n rounds of all agents that wait, or when everything before it is done.
local function estimate(lane, ahead_own, waiting)
  local agents = redis.call('ZCARD', ring_key(lane))
  if lane == 'batch' then return waiting + 1, (waiting + 1) * price_us end
  local position = math.min(waiting + 1, (ahead_own + 1) * math.max(1, agents))
  return position, position * price_us
end

local function known(id, digest)
  local reply = redis.call('GET', reply_key(id))
  if reply then
    local head = cjson.decode(string.sub(reply, 1, string.find(reply, '\n', 1, true) - 1))
    return head.digest == digest and { 'final', id, reply } or { 'conflict', id }
  end
  local held, place, watchers, lane, agent = unpack(redis.call('HMGET', request_key(id), 'digest', 'place', 'watchers', 'lane', 'agent'))
  if not held then return nil end
  if held ~= digest then return { 'conflict', id } end
  join_watchers(id, watchers, producer)
  local stream = split_place(place)
  local position, eta_us = estimate(lane, redis.call('XLEN', backlog_key(lane, agent)),
    tonumber(redis.call('HGET', sched, 'waiting')) or 0)
  return { STATES[stream] or 'waiting', id, stream == 'backlog' and position or 0, stream == 'backlog' and eta_us or 0 }
end

-- When to come back: once a tenth of what is full may have drained, within a second and a minute.
local function retry_after_us(requests)
  return math.max(1000000, math.min(60000000, requests / 10 * price_us))
end

local function refusal(id, agent, lane, size, deadline_us, not_before_us)
  if size > max_request_bytes then return { 'too_large', id, max_request_bytes } end
  local waiting, bytes = unpack(redis.call('HMGET', sched, 'waiting', 'bytes'))
  waiting, bytes = tonumber(waiting) or 0, tonumber(bytes) or 0
  if waiting >= max_backlog or bytes + size > max_bytes then return { 'pool_full', id, retry_after_us(max_backlog) } end
  local own = redis.call('XLEN', backlog_key(lane, agent))
  if own >= max_per_agent then
    return { 'agent_full', id, retry_after_us(own * math.max(1, redis.call('ZCARD', ring_key(lane)))) }
  end
  local position, eta_us = estimate(lane, own, waiting)
  if math.max(eta_us, not_before_us) > deadline_us then return { 'would_miss', id, math.max(eta_us, not_before_us) } end
  return nil, position, math.max(eta_us, not_before_us)
end

local function accept(id, agent, lane, key, digest, head, body, deadline_us, not_before_us, on_unknown)
  if key ~= '' then
    local owner = redis.call('GET', idempotency_key(agent, key))
    if owner and owner ~= id then
      local answer = known(owner, digest)
      if answer then return answer end
    end
  end
  local answer = known(id, digest)
  if answer then return answer end
  deadline_us, not_before_us = tonumber(deadline_us), tonumber(not_before_us)
  if deadline_us == 0 then deadline_us = default_deadline_us end
  local refused, position, eta_us = refusal(id, agent, lane, #body, deadline_us, not_before_us)
  if refused then return refused end
  local ends_us = now_us + deadline_us
  redis.call('HSET', request_key(id), 'agent', agent, 'lane', lane, 'head', head, 'body', body, 'bytes', #body, 'digest', digest,
    'accepted_us', now_us, 'deadline_us', ends_us, 'watchers', producer, 'key', key, 'on_unknown', on_unknown,
    'attempts', 0, 'sends', 0)
  redis.call('HINCRBY', sched, 'bytes', #body)
  redis.call('ZADD', expiry, ends_us, id)
  if key ~= '' then redis.call('SET', idempotency_key(agent, key), id, 'PX', math.ceil(deadline_us / 1000) + reply_ttl_ms) end
  if not_before_us > 0 then
    enter_delay(id, agent, now_us + not_before_us, 'later')
    return { 'delayed', id, position, eta_us }
  end
  enter_backlog(id, lane, agent)
  return { 'waiting', id, position, eta_us }
end

local answers, added = { version }, false
for id, agent, lane, key, digest, head, body, deadline_us, not_before_us, on_unknown in each() do
  local answer = accept(id, agent, lane, key, digest, head, body, deadline_us, not_before_us, on_unknown)
  added = added or answer[1] == 'waiting' or answer[1] == 'delayed'
  answers[#answers + 1] = answer
end
if added then wake_one(now_us) end
return answers
