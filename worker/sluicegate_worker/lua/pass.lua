#!lua flags=allow-oom
--[[
pass: who held the turn has slept enough and passes the token on, so that dispatchers take turns and nobody else has to stay awake.

KEYS    config      HASH    the pool's policy
        sched       HASH    until when somebody sleeps for all
        wake        LIST    the token
ARGV    dispatcher  text    the consumer's name
EACH    upstream    text    whose turn it may hold
RETURNS 1
]]
-- @include keys wake turns

for upstream in each() do give_up('turn', upstream, dispatcher) end
pass_token()
return 1
