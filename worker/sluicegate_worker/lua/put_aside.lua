#!lua flags=allow-oom
--[[
put_aside: takes a key that is not of its type out of the way, so that the pool goes on and an operator can look at what it holds.

KEYS    config      HASH    the pool's policy, for how long it is kept
ARGV    name        text    without the pool's prefix
        expected    text    the type that it has to be of
RETURNS the name that it has now, without the prefix; "" where it is of its type by now, or gone
]]
-- @include clock keys types

local KEPT_MS = 1209600000 -- where the policy does not say: two weeks
local KEPT_MS_MAX = 315360000000

local key, aside = prefix .. name, 'aside:' .. name
local found = type_of(key)
if found == 'none' or found == expected then return '' end
local terms = redis.pcall('HGET', config, 'dead_ttl_ms')
local kept_ms = tonumber(terms) or KEPT_MS
if not (kept_ms >= 1 and kept_ms <= KEPT_MS_MAX) then kept_ms = KEPT_MS end
if redis.call('EXISTS', prefix .. aside) == 1 then aside = string.format('%s:%.0f', aside, read_clock_us()) end
if redis.call('RENAMENX', key, prefix .. aside) == 0 then return '' end
redis.call('PEXPIRE', prefix .. aside, math.ceil(kept_ms))
return aside
