#!lua
--[[
enqueue: accepts requests into their agents' backlogs, or says of each why not.

Idempotent by id and by the agent's own key: who comes again with the same body joins those who wait, or gets the outcome.
Without allow-oom: a full server takes nothing new, but still drains. What another's hand has damaged breaks the requests that need it
and no others: everything is looked at before anything is written, so that nothing is left half done.

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
        agent_full|pool_full, retry_after_us · would_miss, eta_us · broken, what Redis said: dispatchers are told to mend it
]]
-- @include clock keys lanes places wake watchers

local limits = redis.call('HMGET', config, 'version', 'max_backlog', 'max_backlog_per_agent', 'max_backlog_bytes',
  'max_request_bytes', 'deadline_us', 'reply_ttl_ms', 'price_us')
if not limits[1] then return 'no pool' end
local version = limits[1]
for at = 2, #limits do limits[at] = tonumber(limits[at]) end
local max_backlog, max_per_agent, max_bytes, max_request_bytes, default_deadline_us, reply_ttl_ms, price_us = unpack(limits, 2)
local now_us = read_clock_us()
local waiting, bytes -- what the counters say; this call keeps them in step

-- An agent's n-th request is served after n rounds of all agents that wait, or when everything before it is done.
local function estimate(lane, ahead_own)
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
  local stream = split_place(place)
  local position, eta_us = estimate(lane, redis.call('XLEN', backlog_key(lane, agent)))
  join_watchers(id, watchers or '', producer)
  return { STATES[stream] or 'waiting', id, stream == 'backlog' and position or 0, stream == 'backlog' and eta_us or 0 }
end

-- When to come back: once a tenth of what is full may have drained, within a second and a minute.
local function retry_after_us(requests)
  return math.max(1000000, math.min(60000000, requests / 10 * price_us))
end

local function refusal(id, agent, lane, size, deadline_us, not_before_us)
  if size > max_request_bytes then return { 'too_large', id, max_request_bytes } end
  if waiting >= max_backlog or bytes + size > max_bytes then return { 'pool_full', id, retry_after_us(max_backlog) } end
  local own = redis.call('XLEN', backlog_key(lane, agent))
  if own >= max_per_agent then
    return { 'agent_full', id, retry_after_us(own * math.max(1, redis.call('ZCARD', ring_key(lane)))) }
  end
  local position, eta_us = estimate(lane, own)
  if math.max(eta_us, not_before_us) > deadline_us then return { 'would_miss', id, math.max(eta_us, not_before_us) } end
  return nil, position, math.max(eta_us, not_before_us)
end

-- Adds to its stream first, where an entry with the greatest id of all may have been planted: then nothing more can be added.
local function enter(id, agent, lane, not_before_us)
  if not_before_us == 0 then
    enter_backlog(id, lane, agent)
    waiting = waiting + 1
    return
  end
  redis.call('ZCARD', due)
  enter_delay(id, agent, now_us + not_before_us, 'later')
end

-- Whatever may raise does so before anything is written that would have to be undone, but for the deadline.
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
  redis.call('ZADD', expiry, ends_us, id)
  local entered, problem = pcall(enter, id, agent, lane, not_before_us)
  if not entered then
    redis.call('ZREM', expiry, id)
    error(problem, 0)
  end
  redis.call('HSET', request_key(id), 'agent', agent, 'lane', lane, 'head', head, 'body', body, 'bytes', #body, 'digest', digest,
    'accepted_us', now_us, 'deadline_us', ends_us, 'watchers', producer, 'key', key, 'on_unknown', on_unknown,
    'attempts', 0, 'sends', 0)
  redis.call('HINCRBY', sched, 'bytes', #body)
  bytes = bytes + #body
  if key ~= '' then redis.call('SET', idempotency_key(agent, key), id, 'PX', math.ceil(deadline_us / 1000) + reply_ttl_ms) end
  return { not_before_us > 0 and 'delayed' or 'waiting', id, position, eta_us }
end

-- What every request needs is looked at once for all. Raises where another's hand has written what nobody can count with.
local function look_at_fixed()
  local whole = max_backlog and max_per_agent and max_bytes and max_request_bytes and default_deadline_us and reply_ttl_ms and price_us
  if not whole or not (reply_ttl_ms > 0 and reply_ttl_ms < 1e15) then error('config: the numbers of the policy are damaged', 0) end
  redis.call('ZCARD', idle)
  local numbers = redis.call('HMGET', sched, 'waiting', 'bytes', 'virtual_us:interactive', 'virtual_us:batch')
  for at, number in ipairs(numbers) do
    local count = at < 3 -- the others are times, which may have fractions
    if number and (#number > (count and 17 or 30) or not string.find(number, count and '^%-?%d+$' or '^%-?%d+%.?%d*e?[+-]?%d*$')) then
      error('sched: ' .. number .. ' is no number', 0)
    end
  end
  waiting, bytes = tonumber(numbers[1] or 0), tonumber(numbers[2] or 0)
end

local sound, problem = pcall(look_at_fixed)
local answers, added, broken = { version }, false, false
for id, agent, lane, key, digest, head, body, deadline_us, not_before_us, on_unknown in each() do
  local done, answer = sound, problem
  if sound then done, answer = pcall(accept, id, agent, lane, key, digest, head, body, deadline_us, not_before_us, on_unknown) end
  if not done then answer = { 'broken', id, type(answer) == 'table' and answer.err or tostring(answer) } end
  broken = broken or not done
  added = added or answer[1] == 'waiting' or answer[1] == 'delayed'
  answers[#answers + 1] = answer
end
if broken then
  redis.pcall('HSET', sched, 'trouble', 1)
  pcall(put_token)
elseif added then pcall(wake_one, now_us) end
return answers
