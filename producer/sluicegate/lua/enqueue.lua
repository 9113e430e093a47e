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
        model           text    whose estimates it is corrected by
        tokens_in       int     as the producer estimates them
        tokens_out      int     the most that the answer may have; -1: the caller does not say
RETURNS "no pool", or the policy's version and per request {answer, id, …}:
        waiting|delayed|in_flight, position, eta_us[, joined: it was accepted before] · final, reply · conflict · too_large, limit · too_many_tokens, tokens, limit
        agent_full|pool_full, retry_after_us · would_miss, eta_us, retry_after_us
        broken, what Redis said: dispatchers are told to mend it
]]
-- @include clock keys lanes counters request places costs budgets outlook wake watchers

local limits = redis.call('HMGET', config, 'version', 'max_backlog', 'max_backlog_per_agent', 'max_backlog_bytes',
  'max_request_bytes', 'deadline_us', 'reply_ttl_ms', 'max_tokens', 'max_tokens_in', 'max_tokens_out', 'price_us')
if not limits[1] then return 'no pool' end
local version = limits[1]
for at = 2, #limits do limits[at] = tonumber(limits[at]) end
local max_backlog, max_per_agent, max_bytes, max_request_bytes, default_deadline_us, reply_ttl_ms = unpack(limits, 2)
local now_us = read_clock_us()
local waiting, waiting_cost, bytes -- what the counters say; this call keeps them in step
local opens_in_us, stretch = 0, 1
local all_new, accepted = false, {} -- whether none of them is known; ids that this call has accepted
local lengths, ring_sizes = {}, {} -- of backlogs and rings, kept in step like the counters
local joining, deadlines = {}, {} -- agents for each lane's ring, and what goes into `expiry`: written once, at the end

local function length_of(lane, agent)
  local backlog = backlog_key(lane, agent)
  lengths[backlog] = lengths[backlog] or redis.call('XLEN', backlog)
  return lengths[backlog]
end

local function ring_size(lane)
  ring_sizes[lane] = ring_sizes[lane] or redis.call('ZCARD', ring_key(lane))
  return ring_sizes[lane]
end

-- An agent's n-th request is served after n rounds of all agents that wait, or when everything before it is done.
-- `cost`: its own, in microseconds of the pool's time.
local function estimate(lane, ahead_own, cost)
  local mean = waiting > 0 and math.max(1, waiting_cost / waiting) or cost
  local position = waiting + 1
  if lane == 'interactive' then position = math.min(position, (ahead_own + 1) * math.max(1, ring_size(lane))) end
  return position, math.ceil(opens_in_us + ((position - 1) * mean + cost) * stretch)
end

local function known(id, digest)
  local reply = redis.call('GET', reply_key(id))
  if reply then
    local head = cjson.decode(string.sub(reply, 1, string.find(reply, '\n', 1, true) - 1))
    return head.digest == digest and { 'final', id, reply } or { 'conflict', id }
  end
  local facts, place, watchers = unpack(redis.call('HMGET', request_key(id), 'facts', 'place', 'watchers'))
  local agent, lane, _, _, held, _, _, cost = read_facts(facts)
  if not held then return nil end
  if held ~= digest then return { 'conflict', id } end
  local stream = split_place(place)
  local position, eta_us = estimate(lane, length_of(lane, agent), tonumber(cost) or 0)
  join_watchers(id, watchers or '', producer)
  if stream ~= 'backlog' then position, eta_us = 0, 0 end
  return { STATES[stream] or 'waiting', id, position, eta_us, 'joined' }
end

local SOONEST_US, LATEST_US = 1000000, 60000000

-- When to come back: once a tenth of what is full may have drained, within a second and a minute.
local function retry_after_us(requests)
  local mean = waiting > 0 and waiting_cost / waiting or read_pool_prices().rpm
  return math.ceil(opens_in_us + math.max(SOONEST_US, math.min(LATEST_US, requests / 10 * mean * stretch)))
end

-- More than a provider admits in a whole minute or day is refused at every try.
local function excess(tokens_in, asked)
  local most = { limits[8], limits[9], limits[10] }
  for at, tokens in ipairs({ tokens_in + asked, tokens_in, asked }) do
    if (most[at] or 0) > 0 and tokens > most[at] then return tokens, most[at] end
  end
end

-- `cost`: of its own in the pool's time.
local function refusal(id, agent, lane, size, cost, deadline_us, not_before_us)
  if size > max_request_bytes then return { 'too_large', id, max_request_bytes } end
  if waiting >= max_backlog or bytes + size > max_bytes then return { 'pool_full', id, retry_after_us(max_backlog) } end
  local own = length_of(lane, agent)
  if own >= max_per_agent then return { 'agent_full', id, retry_after_us(own * math.max(1, ring_size(lane))) } end
  local position, eta_us = estimate(lane, own, cost)
  eta_us = math.max(eta_us, not_before_us)
  if eta_us > deadline_us then return { 'would_miss', id, eta_us, math.max(SOONEST_US, eta_us - deadline_us) } end
  return nil, position, eta_us
end

-- Adds to its stream first, where an entry with the greatest id of all may have been planted: then nothing more can be added.
-- Returns its place.
local function enter(id, agent, lane, cost, not_before_us)
  if not_before_us > 0 then
    redis.call('ZCARD', due)
    return enter_delay(id, agent, now_us + not_before_us, 'later')
  end
  local backlog, place = backlog_key(lane, agent), append_to_backlog(id, lane, agent, cost)
  if lengths[backlog] == 0 then ring_sizes[lane] = ring_size(lane) + 1 end
  lengths[backlog] = lengths[backlog] + 1
  waiting, waiting_cost = waiting + 1, waiting_cost + cost
  joining[lane] = joining[lane] or {}
  joining[lane][agent] = true
  return place
end

-- Whatever may raise does so before anything is written that would have to be undone.
local function accept(id, agent, lane, key, digest, head, body, deadline_us, not_before_us, on_unknown, model, tokens_in, tokens_out)
  if key ~= '' then
    local owner = redis.call('GET', idempotency_key(agent, key))
    if owner and owner ~= id then
      local answer = known(owner, digest)
      if answer then return answer end
    end
  end
  local answer = (not all_new or accepted[id]) and known(id, digest)
  if answer then return answer end
  deadline_us, not_before_us = tonumber(deadline_us), tonumber(not_before_us)
  if deadline_us == 0 then deadline_us = default_deadline_us end
  tokens_in, tokens_out = tonumber(tokens_in), tonumber(tokens_out)
  local in_all, most = excess(tokens_in, math.max(0, tokens_out))
  if in_all then return { 'too_many_tokens', id, in_all, most } end
  local cost = cost_us(predict(model, tokens_in, tokens_out))
  not_before_us = math.max(not_before_us, barred_us(agent, now_us))
  local refused, position, eta_us = refusal(id, agent, lane, #body, cost, deadline_us, not_before_us)
  if refused then return refused end
  local ends_us, place = now_us + deadline_us, enter(id, agent, lane, cost, not_before_us)
  local facts = write_facts(agent, lane, now_us, ends_us, digest, on_unknown, #body, cost, tokens_in, tokens_out, model)
  redis.call('HSET', request_key(id), 'facts', facts, 'head', head, 'body', body, 'place', place, 'watchers', producer)
  deadlines[#deadlines + 1] = ends_us
  deadlines[#deadlines + 1] = id
  accepted[id] = true
  add_up('bytes', #body)
  bytes = bytes + #body
  if key ~= '' then
    redis.call('HSET', request_key(id), 'key', key)
    redis.call('SET', idempotency_key(agent, key), id, 'PX', math.ceil(deadline_us / 1000) + reply_ttl_ms)
  end
  return { not_before_us > 0 and 'delayed' or 'waiting', id, position, eta_us }
end

-- What every request needs is looked at once for all. Raises where another's hand has written what nobody can count with.
local function look_at_fixed()
  local whole = max_backlog and max_per_agent and max_bytes and max_request_bytes and default_deadline_us and reply_ttl_ms
    and limits[11]
  if not whole or not (reply_ttl_ms > 0 and reply_ttl_ms < 1e15) then error('config: the numbers of the policy are damaged', 0) end
  redis.call('ZCARD', idle)
  redis.call('ZCARD', expiry)
  local numbers = redis.call('HMGET', sched, 'waiting', 'waiting_cost', 'bytes', 'virtual_us:interactive', 'virtual_us:batch')
  for at, number in ipairs(numbers) do
    local count = at < 4 -- the others are times, which may have fractions
    if number and (#number > (count and 17 or 30) or not string.find(number, count and '^%-?%d+$' or '^%-?%d+%.?%d*e?[+-]?%d*$')) then
      error('sched: ' .. number .. ' is no number', 0)
    end
  end
  waiting, waiting_cost, bytes = tonumber(numbers[1] or 0), tonumber(numbers[2] or 0), tonumber(numbers[3] or 0)
  opens_in_us, stretch = look_out(now_us)
end

-- Hardly any request comes a second time; where one does, each is looked at.
local function are_all_new()
  local names = {}
  for id in each() do
    names[#names + 1] = reply_key(id)
    names[#names + 1] = request_key(id)
  end
  return not names[1] or redis.call('EXISTS', unpack(names)) == 0
end

-- What was accepted is written down where all of it is kept together.
local function save_accepted()
  if deadlines[1] then redis.call('ZADD', expiry, unpack(deadlines)) end
  for lane, of_lane in pairs(joining) do
    local agents = {}
    for agent in pairs(of_lane) do agents[#agents + 1] = agent end
    enter_ring(lane, unpack(agents))
  end
  save_counters()
end

local sound, problem = pcall(look_at_fixed)
all_new = are_all_new()
local answers, added, broken = { version }, false, false
for id, agent, lane, key, digest, head, body, deadline_us, not_before_us, on_unknown, model, tokens_in, tokens_out in each() do
  local done, answer = sound, problem
  if sound then
    done, answer = pcall(accept, id, agent, lane, key, digest, head, body, deadline_us, not_before_us, on_unknown, model, tokens_in,
      tokens_out)
  end
  if not done then answer = { 'broken', id, type(answer) == 'table' and answer.err or tostring(answer) } end
  broken = broken or not done
  added = added or answer[1] == 'waiting' or answer[1] == 'delayed'
  answers[#answers + 1] = answer
end
save_accepted()
if broken then
  redis.pcall('HSET', sched, 'trouble', 1)
  pcall(put_token)
elseif added then pcall(wake_one, now_us) end
return answers
