-- watchers: who is rung at a request's outcome; bounded, for one outcome must not cost more than a script may take.
local WATCHERS_MAX = 100

local function join_watchers(id, watchers, producer)
  if string.find(' ' .. watchers .. ' ', ' ' .. producer .. ' ', 1, true) then return end
  local _, others = string.gsub(watchers, '%S+', '')
  if others >= WATCHERS_MAX then return end
  redis.call('HSET', request_key(id), 'watchers', watchers == '' and producer or watchers .. ' ' .. producer)
end
