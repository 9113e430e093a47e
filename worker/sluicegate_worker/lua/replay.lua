#!lua flags=allow-oom
--[[
replay: puts dead letters back into their agents' backlogs, with attempts from zero and as much time as they had at first.

From there they go through the bucket like anything that waits. The id stays, so whoever watched it is rung again; the reply is replaced.

KEYS    config     HASH    the pool's policy
        sched      HASH    counters, virtual time
        retry      STREAM  delayed
        due        ZSET    when they are due
        idle       ZSET    where agents without work had got to
        expiry     ZSET    deadlines
        dead       STREAM  dead letters
        wake       LIST    the token
        audit      STREAM  who changed what
ARGV    who        text    for the audit
EACH    id         text
RETURNS per request: replayed | gone (not dead any more, or nothing of it is kept) | full (its agent's backlog or the pool's; it stays dead)
]]
-- @include clock keys lanes counters request places outcome wake

local limits = redis.call('HMGET', config, 'max_backlog', 'max_backlog_per_agent', 'max_backlog_bytes', 'reply_ttl_ms')
for at = 1, 4 do limits[at] = tonumber(limits[at]) or 0 end
local max_backlog, max_per_agent, max_bytes, reply_ttl_ms = unpack(limits)
local now_us = read_clock_us()

local function has_room(request)
  local waiting, bytes = unpack(redis.call('HMGET', sched, 'waiting', 'bytes'))
  return (tonumber(waiting) or 0) < max_backlog and (tonumber(bytes) or 0) + (tonumber(request.bytes) or 0) <= max_bytes
    and redis.call('XLEN', backlog_key(request.lane, request.agent)) < max_per_agent
end

local function begin_anew(id, request)
  local time_us = tonumber(request.deadline_us) - tonumber(request.accepted_us)
  enter_backlog(id, request.lane, request.agent, tonumber(request.cost))
  redis.call('ZADD', expiry, now_us + time_us, id)
  local facts = write_facts(request.agent, request.lane, now_us, now_us + time_us, request.digest, request.on_unknown, request.bytes,
    request.cost, request.tokens_in, request.tokens_out, request.model)
  redis.call('HSET', request_key(id), 'facts', facts, 'attempts', 0, 'sends', 0, 'whole', 1) -- a stream of it is over
  redis.call('HDEL', request_key(id), 'crashes', 'deaths')
  redis.call('PERSIST', request_key(id))
  add_up('bytes', tonumber(request.bytes) or 0)
  save_counters() -- the next is to see them
  local key = request.key and request.key ~= '' and idempotency_key(request.agent, request.key)
  if key and redis.call('GET', key) == id then redis.call('PEXPIRE', key, math.ceil(time_us / 1000) + reply_ttl_ms) end
end

local function replay(id)
  local request = read_request(id)
  local stream, entry = split_place(request and request.place)
  if stream ~= 'dead' then return 'gone' end
  if not has_room(request) then return 'full' end
  begin_anew(id, request)
  redis.call('DEL', reply_key(id))
  redis.call('XDEL', dead, entry)
  return 'replayed'
end

local answers, replayed = {}, 0
for id in each() do
  answers[#answers + 1] = replay(id)
  if answers[#answers] == 'replayed' then replayed = replayed + 1 end
end
if replayed > 0 then
  if redis.call('XLEN', dead) == 0 then redis.call('DEL', dead) end
  redis.call('XADD', audit, 'MAXLEN', '~', 1000, '*', 'who', who, 'what', 'replay', 'count', replayed)
  wake_one(now_us)
end
return answers
