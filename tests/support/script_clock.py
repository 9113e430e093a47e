"""The clock that the bench sets: an include in place of the one that asks for the time, and how time passes."""

from sluicegate.keys import GROUP

CLOCK_KEY = "sg:test-clock"
CLOCK = f"local function read_clock_us() return tonumber(redis.call('GET', '{CLOCK_KEY}')) end\n"

# Deliveries age with the clock; the moments that a test takes do not count.
TELL_TIME = f"""
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
if ARGV[2] == '0' then return end -- to touch a delivery is a sign of life of its consumer
local pending = redis.pcall('XPENDING', KEYS[2], '{GROUP}', '-', '+', 10000)
for _, one in ipairs(pending.err and {{}} or pending) do
  local idle_ms = math.floor(one[3] / 100 + 0.5) * 100 + ARGV[2]
  redis.call('XCLAIM', KEYS[2], '{GROUP}', one[2], 0, one[1], 'IDLE', string.format('%.0f', idle_ms), 'JUSTID')
end
"""
