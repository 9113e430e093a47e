#!lua flags=no-writes
--[[
show: everything that is kept of requests that wait, are delayed, in flight or dead.

KEYS    config      HASH    the pool's policy
        run         STREAM  in flight
        due         ZSET    when delayed requests are due
        dead        STREAM  dead letters
ARGV    bodies      int     1: with their bodies
EACH    id          text
RETURNS now_us, then per request: unknown | final (only its reply is kept) | {request, attempts, crashes, key, on_unknown, bytes, body,
        letters}
        request: as `pending` has it · letters: as XRANGE, its own where it is dead and its letter is still kept
]]
-- @include clock keys request description

local function show(id)
  local place = redis.call('HGET', request_key(id), 'place')
  if not place then return redis.call('EXISTS', reply_key(id)) == 1 and 'final' or 'unknown' end
  local answer = { describe(id, place) }
  local attempts, crashes, key, facts = unpack(redis.call('HMGET', request_key(id), 'attempts', 'crashes', 'key', 'facts'))
  local _, _, _, _, _, on_unknown = read_facts(facts)
  for at, value in ipairs({ attempts or '0', crashes or '', key or '', on_unknown or '' }) do answer[at + 1] = value end
  answer[#answer + 1] = redis.call('HSTRLEN', request_key(id), 'body')
  answer[#answer + 1] = bodies == '1' and redis.call('HGET', request_key(id), 'body') or ''
  answer[#answer + 1] = answer[1][1] == 'dead' and redis.call('XRANGE', dead, answer[1][2], answer[1][2]) or {}
  return answer
end

local answers = { read_clock_us() }
for id in each() do answers[#answers + 1] = show(id) end
return answers
