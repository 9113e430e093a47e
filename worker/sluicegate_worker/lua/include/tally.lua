-- tally: what an upstream was sent and answered of late, in cells of time that are used again.
local CELL_US, CELLS = 5000000, 13
local HOUR_US, HOURS = 3600000000, 25
local COUNTED = { 'calls', 'refusals', 'tokens', 'good', 'failed' }
local CELL = '^(%d+) (%d+) (%d+) (%-?%d+) (%d+) (%d+)$'
local HOUR = '^(%d+) (%-?%d+) (%-?%d+)$'

local cells, changed = {}, {} -- by upstream and number: read once, and written once, by `save_tallies`

local function cell_of(name, number)
  local of_upstream = cells[name] or {}
  cells[name] = of_upstream
  if of_upstream[number] then return of_upstream[number] end
  local found = { string.match(redis.call('HGET', upstream_key(name), 'cell:' .. number % CELLS) or '', CELL) }
  local current, cell = tonumber(found[1]) == number, { name = name, number = number }
  for at, what in ipairs(COUNTED) do cell[what] = current and tonumber(found[at + 1]) or 0 end
  of_upstream[number] = cell
  return cell
end

-- The last minute, five seconds a cell: '<cell's number> <calls> <429s> <tokens> <good> <failed>'.
local function tally(name, now_us, what, more)
  local cell = cell_of(name, math.floor(now_us / CELL_US))
  cell[what] = cell[what] + more
  changed[cell] = true
end

local function save_tallies()
  for cell in pairs(changed) do
    redis.call('HSET', upstream_key(cell.name), 'cell:' .. cell.number % CELLS, string.format('%d %d %d %d %d %d', cell.number,
      cell.calls, cell.refusals, cell.tokens, cell.good, cell.failed))
  end
  changed = {}
end

-- What happened in the last five to ten seconds, and how long that is.
local function read_recent(name, now_us)
  local number = math.floor(now_us / CELL_US)
  local last, before, recent = cell_of(name, number), cell_of(name, number - 1), {}
  for _, what in ipairs(COUNTED) do recent[what] = last[what] + before[what] end
  return recent, now_us - (number - 1) * CELL_US
end

-- What went wrong before counts no more.
local function forget_failures(name, now_us)
  local number = math.floor(now_us / CELL_US)
  for _, one in ipairs({ number - 1, number }) do
    local cell = cell_of(name, one)
    if cell.failed > 0 then
      cell.good, cell.failed = 0, 0
      changed[cell] = true
    end
  end
end

-- The last day, an hour a cell: '<hour> <calls> <tokens>', by their ages in hours.
local function read_hours(name, now_us)
  local fields, number, hours = {}, math.floor(now_us / HOUR_US), {}
  for at = 0, HOURS - 1 do fields[at + 1] = 'hour:' .. at end
  for _, text in ipairs(redis.call('HMGET', upstream_key(name), unpack(fields))) do
    local hour, calls, tokens = string.match(text or '', HOUR)
    local age = hour and number - tonumber(hour)
    if age and age >= 0 and age < HOURS then hours[age] = { calls = tonumber(calls), tokens = tonumber(tokens) } end
  end
  return hours
end

local function tally_hour(name, now_us, calls, tokens)
  local number = math.floor(now_us / HOUR_US)
  local field = 'hour:' .. number % HOURS
  local hour, had_calls, had_tokens = string.match(redis.call('HGET', upstream_key(name), field) or '', HOUR)
  if tonumber(hour) ~= number then had_calls, had_tokens = 0, 0 end
  redis.call('HSET', upstream_key(name), field, string.format('%d %d %d', number, had_calls + calls, had_tokens + tokens))
end
