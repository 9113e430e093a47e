#!lua flags=no-writes
--[[
pending: a page of what is in flight, delayed or waiting, in the order of the streams given and of their entries.

An entry that names no request, or one that is kept elsewhere by now, is passed over.

KEYS    config      HASH    the pool's policy
        run         STREAM  in flight
        retry       STREAM  delayed
        due         ZSET    when they are due
ARGV    count       int     entries looked at, at most
EACH    stream      text    run | retry | backlog
        lane        text    of a backlog
        agent       text    of a backlog
        after       text    the entry behind which to begin; empty: at the beginning
RETURNS {now_us, streams looked through to their ends, last entry looked at in the next one or "", requests}
        each request: {stream, entry, id, agent, lane, accepted_us, deadline_us, sends, head, history, due_us, dispatcher, idle_ms}
]]
-- @include clock keys request description

local streams = { run = run, retry = retry }
local left = tonumber(count)

local finished, last, requests = 0, '', {}
for stream, lane, agent, after in each() do
  local from = after == '' and '-' or '(' .. after
  local entries = redis.call('XRANGE', streams[stream] or backlog_key(lane, agent), from, '+', 'COUNT', left)
  for _, entry in ipairs(entries) do requests[#requests + 1] = describe(entry[2][2], stream .. ' ' .. entry[1]) end
  if #entries == left then
    last = entries[#entries][1]
    break
  end
  left = left - #entries
  finished = finished + 1
end
return { read_clock_us(), finished, last, requests }
