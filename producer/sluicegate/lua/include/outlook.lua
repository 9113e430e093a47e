-- outlook: when the pool will send again, and how much slower than by its limits. Read only; what the buckets say of themselves.

-- Until the first upstream opens, and by how much every estimate stretches. An upstream that is held by hand says nothing about when.
local function look_out(now_us)
  local opens_us, full, real = math.huge, 0, 0
  for name in string.gmatch(redis.call('HGET', config, 'upstreams') or '', '%S+') do
    local price_us, held = unpack(redis.call('HMGET', config, 'price_us:' .. name, 'held:' .. name))
    local state = redis.call('HMGET', upstream_key(name), 'pause_until_us', 'breaker', 'open_until_us', 'outlook', 'day_until_us')
    if not held then
      local breaker_us = state[2] and tonumber(state[3]) or 0
      opens_us = math.min(opens_us, math.max(now_us, tonumber(state[1]) or 0, breaker_us, tonumber(state[5]) or 0))
      local capacity = 1 / math.max(1, tonumber(price_us) or 1)
      full, real = full + capacity, real + capacity * math.max(0.01, tonumber(state[4]) or 1)
    end
  end
  if full == 0 then return 0, 1 end
  return opens_us - now_us, full / real
end
