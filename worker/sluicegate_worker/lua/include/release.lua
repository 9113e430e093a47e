-- release: how a request in flight is let go of. What is in flight changes only together with its entry, so that letting go twice
-- counts once. Either half of the entry may be missing: a group can be destroyed by hand, an entry deleted.
local released = {}

local function release(fence, upstream)
  local acknowledged = redis.call('XACK', run, 'dispatchers', fence)
  if redis.call('XDEL', run, fence) + acknowledged > 0 and upstream then released[upstream] = (released[upstream] or 0) + 1 end
end

-- An upstream that was full has room again: somebody may be waiting for just that, while who holds a turn sleeps for another upstream.
local function finish_releases()
  for upstream, count in pairs(released) do
    local before = tonumber(redis.call('HGET', upstream_key(upstream), 'in_flight'))
    local most = tonumber(redis.call('HGET', config, 'max_in_flight:' .. upstream))
    if before then redis.call('HSET', upstream_key(upstream), 'in_flight', math.max(0, before - count)) end
    if most and before and before >= most then put_token() end
  end
end
