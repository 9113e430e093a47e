#!lua flags=no-writes
--[[
graveyard: a page of the dead letters, newest first.

KEYS    config      HASH    the pool's policy
        dead        STREAM  dead letters
ARGV    before      text    the entry before which to begin; empty: at the newest
        since_us    int     how long ago at most; 0: any time
        count       int     entries
RETURNS as XREVRANGE
]]
-- @include clock

local oldest = '-'
if since_us ~= '0' then oldest = string.format('%.0f', math.max(0, math.ceil((read_clock_us() - tonumber(since_us)) / 1000))) end
return redis.call('XREVRANGE', dead, before == '' and '+' or '(' .. before, oldest, 'COUNT', count)
