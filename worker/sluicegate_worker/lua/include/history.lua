-- history: what became of a request's calls, as JSON objects with commas between them.
local HISTORY_BYTES = 8192

-- A long history keeps its newest part: what failed last is what one asks about.
local function add_note(id, note)
  local history = redis.call('HGET', request_key(id), 'history')
  local text = history and history .. ',' .. note or note
  if #text > HISTORY_BYTES then text = note end
  redis.call('HSET', request_key(id), 'history', text)
end
