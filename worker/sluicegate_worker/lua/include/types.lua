-- types: what a key holds, as Redis says it; a stream whose last id is the greatest there is takes no more, and counts as `full stream`.
local LAST_ID = '18446744073709551615-18446744073709551615'

local function type_of(key)
  local found = redis.call('TYPE', key).ok
  if found ~= 'stream' then return found end
  local about = redis.call('XINFO', 'STREAM', key)
  for at = 1, #about, 2 do
    if about[at] == 'last-generated-id' then return about[at + 1] == LAST_ID and 'full stream' or found end
  end
  return found
end
