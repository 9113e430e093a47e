-- clock: the only place that asks for the time, so that every shared decision uses one clock and tests can bring their own.
local function read_clock_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
