#!lua flags=allow-oom
--[[
restore: makes the consumer group where it is gone, and leads back to their places those requests that no index leads to any more.

What waited goes to the end of its agent's backlog, what was delayed is due when it was to be. Nobody here knows whether what was in
flight has been called: that is left to its holder, and to its deadline.

KEYS    config      HASH    the pool's policy
        sched       HASH    counters, virtual time
        run         STREAM  in flight
        retry       STREAM  delayed
        due         ZSET    when they are due
        idle        ZSET    where agents without work had got to
        expiry      ZSET    deadlines
        wake        LIST    the token
EACH    id          text
RETURNS {1 if the group was made, how many requests were led back}
]]
-- @include clock keys lanes counters request places outcome wake

local now_us = read_clock_us()

local function make_group()
  local made = redis.pcall('XGROUP', 'CREATE', run, 'dispatchers', '0', 'MKSTREAM')
  return made.err and 0 or 1
end

local function find(stream, entry)
  return redis.call('XRANGE', stream, entry, entry)[1]
end

local function restore_waiting(id, request, entry)
  if not find(backlog_key(request.lane, request.agent), entry) then
    enter_backlog(id, request.lane, request.agent, tonumber(request.cost))
    return 1
  end
  if redis.call('ZSCORE', ring_key(request.lane), request.agent) then return 0 end
  enter_ring(request.lane, request.agent)
  return 1
end

local function restore_delayed(id, request, entry)
  local due_us = redis.call('ZSCORE', due, id) or redis.call('ZSCORE', suspects, id)
  local found = find(retry, entry)
  if due_us and found then return 0 end
  local fields = found and found[2] or {}
  if found then redis.call('XDEL', retry, entry) end
  enter_delay(id, request.agent, tonumber(due_us or fields[8]) or now_us, fields[6] or 'retry')
  return 1
end

local function restore(id)
  local request = read_request(id)
  local stream, entry = split_place(request and request.place)
  if not request or stream == 'dead' or stream == 'run' and find(run, entry) then return 0 end
  local led = redis.call('ZADD', expiry, request.deadline_us, id)
  if stream == 'backlog' then return math.max(led, restore_waiting(id, request, entry)) end
  if stream == 'retry' then return math.max(led, restore_delayed(id, request, entry)) end
  return led
end

local made, restored = make_group(), 0
for id in each() do restored = restored + restore(id) end
save_counters()
if restored > 0 then put_token() end
return { made, restored }
