-- counters: what `sched` counts, added up by a call and written once, by `save_counters`.
local counters = {}

-- The first time it is written at once: one that another's hand has damaged must break the call off before anything is done.
local function add_up(what, more)
  if counters[what] then
    counters[what] = counters[what] + more
  else
    redis.call('HINCRBY', sched, what, more)
    counters[what] = 0
  end
end

local function save_counters()
  for what, more in pairs(counters) do
    if more ~= 0 then redis.call('HINCRBY', sched, what, more) end
    counters[what] = 0
  end
end
