-- holder: who holds a request in flight, and how it lets go. The entry of `run` is the fence: each delivery has its own.
local released = {}

local function holds(id, fence)
  return redis.call('HGET', request_key(id), 'place') == 'run ' .. fence
end

-- Removes the entry; what is in flight changes only together with it, so that letting go twice counts once.
local function release(fence, upstream)
  if redis.call('XACK', run, 'dispatchers', fence) == 0 then return false end
  redis.call('XDEL', run, fence)
  released[upstream] = (released[upstream] or 0) + 1
  return true
end

-- An upstream that was full has room again: somebody may be waiting for just that, while who holds a turn sleeps for another upstream.
local function finish_releases()
  for upstream, count in pairs(released) do
    local left = redis.call('HINCRBY', upstream_key(upstream), 'in_flight', -count)
    local most = tonumber(redis.call('HGET', config, 'max_in_flight:' .. upstream))
    if most and left + count >= most then put_token() end
  end
end
