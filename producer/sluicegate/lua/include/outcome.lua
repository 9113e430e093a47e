-- outcome: writes the one final outcome of a request and rings for everybody who waits for it.
-- A reply is a line of JSON, a line end, and the provider's body as it came.
local INLINE_BYTES = 8192
local INBOX_ENTRIES = 10000
local bells = {}

-- The reply alone is the truth; what is small enough rides in the notice, so that the usual case needs no second read.
local function ring_bell(producer, id, reply)
  local notices = bells[producer] or {}
  bells[producer] = notices
  notices[#notices + 1] = id
  notices[#notices + 1] = #reply <= INLINE_BYTES and reply or ''
end

local function send_bells(ttl_ms)
  for producer, notices in pairs(bells) do
    local inbox = inbox_key(producer)
    local rung = redis.pcall('XADD', inbox, 'MAXLEN', '~', INBOX_ENTRIES, '*', unpack(notices))
    -- Another's hand was in there: whoever listens looks for the reply itself, sooner or later, and the others are still to be rung.
    if type(rung) == 'table' and rung.err then redis.call('HSET', sched, 'trouble', 1) end
    redis.call('PEXPIRE', inbox, ttl_ms)
  end
end

local function decode_reply_head(reply)
  return cjson.decode(string.sub(reply, 1, string.find(reply, '\n', 1, true) - 1))
end

-- `request` needs the fields agent, key, watchers and bytes. A dead request keeps its hash, for replay, until `keep_ms` is over.
local function finish(id, request, state, reply, ttl_ms, keep_ms)
  -- What may be damaged comes first: broken off here, nothing has been done yet.
  add_up('bytes', 0 - (tonumber(request.bytes) or 0)) -- Redis takes no -0
  add_up(state, 1)
  redis.call('SET', reply_key(id), reply, 'PX', keep_ms or ttl_ms)
  for producer in string.gmatch(request.watchers or '', '%S+') do ring_bell(producer, id, reply) end
  if request.key and request.key ~= '' then redis.call('PEXPIRE', idempotency_key(request.agent, request.key), keep_ms or ttl_ms) end
  if keep_ms then redis.call('PEXPIRE', request_key(id), keep_ms) else redis.call('DEL', request_key(id)) end
end

-- Nil where there is no request, or one that another's hand has damaged: then nothing of it can be relied on.
local function read_request(id)
  local facts, place, sends, attempts, watchers, key, call =
    unpack(redis.call('HMGET', request_key(id), 'facts', 'place', 'sends', 'attempts', 'watchers', 'key', 'call'))
  local agent, lane, accepted_us, deadline_us, digest, on_unknown, bytes, cost, tokens_in, tokens_out, model = read_facts(facts)
  sends, attempts = sends or '0', attempts or '0'
  if not agent or not is_count(sends) or not is_count(attempts) or not split_place(place) then return nil end
  return { agent = agent, lane = lane, place = place, key = key or nil, watchers = watchers or nil, bytes = bytes, digest = digest,
    sends = sends, deadline_us = deadline_us, accepted_us = accepted_us, attempts = attempts, cost = cost, on_unknown = on_unknown,
    tokens_in = tokens_in, tokens_out = tokens_out, model = model, call = call }
end

local SEARCHED_MOST = 1000

local function find_delayed(id)
  for _, found in ipairs(redis.call('XRANGE', retry, '-', '+', 'COUNT', SEARCHED_MOST)) do
    if found[2][2] == id then return found[1] end
  end
end

-- What can still be used of a damaged request, nil where there is none. It leaves where it waits, as far as that can be told; else an
-- entry of a backlog or of `run` goes when somebody comes upon it.
local function salvage(id)
  if redis.call('EXISTS', request_key(id)) == 0 then return nil end
  local watchers, place, facts = unpack(redis.call('HMGET', request_key(id), 'watchers', 'place', 'facts'))
  local agent, lane, bytes, cost = salvage_facts(facts)
  if split_place(place) and agent and EPOCH_US[lane] then leave_place(id, place, lane, agent, cost or 0) end
  leave_delay(id, find_delayed(id) or '0-0')
  redis.call('ZREM', expiry, id)
  return { watchers = string.match(watchers or '', '^[%w._ -]+$'), bytes = bytes or redis.call('HSTRLEN', request_key(id), 'body') }
end

local DAMAGED_REPLY = '{"v":1,"state":"dead","agent":"","digest":"","reason":"undecodable","error":"what Redis kept of it is damaged"}\n'

-- Whoever waits for a request that another's hand has damaged is told, as far as it still says who that is.
local function end_damaged(id, ttl_ms)
  local request = salvage(id)
  if request then finish(id, request, 'dead', DAMAGED_REPLY, ttl_ms) end
end

-- How long outcomes are kept. Where somebody has deleted the policy, an hour: what was paid for is kept all the same.
local function read_reply_ttl_ms()
  local ttl_ms = tonumber(redis.call('HGET', config, 'reply_ttl_ms'))
  return ttl_ms and ttl_ms >= 1 and ttl_ms < 1e15 and ttl_ms or 3600000
end

-- What its last call came to: whoever waited in vain wants to know why. Notes are JSON objects, joined by commas.
local function last_error(id)
  local history = redis.call('HGET', request_key(id), 'history')
  local read, notes = pcall(cjson.decode, '[' .. (history or '') .. ']')
  local note = read and notes[#notes]
  return type(note) == 'table' and type(note.error) == 'string' and ',"error":' .. cjson.encode(note.error) or ''
end

-- What a producer reads of a request that ends without the provider's answer; `more` is further JSON, with a comma before it.
local function describe_end(id, request, state, now_us, more)
  return string.format('{"v":1,"state":"%s","agent":"%s","attempts":%d,"queued_s":%.6f,"digest":"%s"%s%s}\n', state, request.agent,
    tonumber(request.sends) or 0, (now_us - tonumber(request.accepted_us)) / 1000000, request.digest, more, last_error(id))
end

local function finish_unanswered(id, request, state, now_us, ttl_ms)
  local reply = describe_end(id, request, state, now_us, '')
  finish(id, request, state, reply, ttl_ms) -- first: broken off after it, an entry is left over, and no loss
  leave_place(id, request.place, request.lane, request.agent, request.cost)
end
