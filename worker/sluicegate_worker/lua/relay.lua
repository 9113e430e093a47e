#!lua
--[[
relay: passes pieces of streamed answers on to who waits for them, and says of which answers nobody takes any more.

Without allow-oom: the whole answer is kept at its end, so a full server need not take its pieces. What a producer has not read yet is
bounded; until it reads on, pieces stay with the dispatcher.

KEYS    config    HASH    the pool's policy
EACH    fence     text    the entry of `run`
        id        text
        producer  text    whose inbox they go to
        at        text    the attempt and the place in the answer: '2:1024'; the first piece begins with a line that is its head
        piece     bytes   empty: it is only asked
RETURNS per request: passed | full (once more, in a moment) | mute (no more pieces, but the answer is wanted)
        ended (it has an outcome, or another dispatcher) | gone (who alone waited for it is no more)
]]
-- @include keys

local UNREAD_MOST = 128 -- entries of an inbox; each is of at most 256 kB, and most are of a few hundred bytes
local INBOX_MS = 60000

local alive, full, pieces = {}, {}, {}

local function is_alive(producer)
  if alive[producer] == nil then alive[producer] = redis.call('EXISTS', alive_key(producer)) == 1 end
  return alive[producer]
end

local function is_full(producer)
  if full[producer] == nil then full[producer] = redis.call('XLEN', inbox_key(producer)) >= UNREAD_MOST end
  return full[producer]
end

-- Other watchers want the answer, but only as a whole.
local function is_alone(producer, watchers) return watchers == producer end

local function is_watching(producer, watchers) return string.find(' ' .. watchers .. ' ', ' ' .. producer .. ' ', 1, true) ~= nil end

local function pass_on(fence, id, producer, at, piece)
  local place, watchers, whole = unpack(redis.call('HMGET', request_key(id), 'place', 'watchers', 'whole'))
  if place ~= 'run ' .. fence then return 'ended' end
  if whole or not is_watching(producer, watchers or '') then return 'mute' end
  if not is_alive(producer) then return is_alone(producer, watchers) and 'gone' or 'mute' end
  if piece == '' then return 'passed' end
  if is_full(producer) then return 'full' end
  local found = pieces[producer] or {}
  pieces[producer] = found
  found[#found + 1] = id .. ':' .. at
  found[#found + 1] = piece
  return 'passed'
end

local words = {}
for fence, id, producer, at, piece in each() do words[#words + 1] = pass_on(fence, id, producer, at, piece) end
for producer, found in pairs(pieces) do
  local inbox = inbox_key(producer)
  redis.call('XADD', inbox, '*', unpack(found))
  if redis.call('PTTL', inbox) < INBOX_MS then redis.call('PEXPIRE', inbox, INBOX_MS) end
end
return words
