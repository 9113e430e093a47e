#!lua flags=allow-oom
--[[
settle: delivers the provider's final answer. The first result wins, whoever holds the request: it is paid for.

KEYS    config     HASH    the pool's policy
        sched      HASH    counters
        run        STREAM  in flight
        retry      STREAM  delayed
        due        ZSET    when they are due
        idle       ZSET    where agents without work had got to
        expiry     ZSET    deadlines
        wake       LIST    the token
EACH    fence      text    the entry of `run`
        id         text
        upstream   text
        reply      bytes   a line of JSON, a line end, the body
RETURNS per request: ok | late (an outcome was there before; this one is dropped)
]]
-- @include keys lanes places outcome wake release

local ttl_ms = read_reply_ttl_ms()

local function settle(id, fence, reply)
  local kept = redis.call('GET', reply_key(id))
  local request = read_request(id) or not kept and salvage(id)
  if kept == reply then return 'ok' end -- said again, for the first answer to it got lost
  if not request or kept then
    redis.call('HINCRBY', sched, 'late', 1)
    return 'late'
  end
  if request.place and request.place ~= 'run ' .. fence then leave_place(id, request.place, request.lane, request.agent) end
  finish(id, request, 'ok', reply, ttl_ms)
  return 'ok'
end

redis.call('XLEN', run) -- damaged, it must break this off before an outcome is written whose bell would not be rung
local answers = {}
for fence, id, upstream, reply in each() do
  answers[#answers + 1] = settle(id, fence, reply)
  release(fence, upstream)
end
send_bells(ttl_ms)
finish_releases()
return answers
