#!lua flags=allow-oom
--[[
leave: a drained dispatcher says goodbye: it is struck from the group, unless it still holds something, and gives up its turns.

KEYS    config      HASH    the pool's policy
        sched       HASH    who keeps watch, who is chosen for a request that must be alone
        run         STREAM  in flight
        wake        LIST    the token
ARGV    dispatcher  text    the consumer's name
EACH    upstream    text    whose turn it may hold
RETURNS 1, or 0 where it still holds requests
]]
-- @include keys wake turns

for upstream in each() do
  give_up('turn', upstream, dispatcher)
  give_up('deputy', upstream, dispatcher)
end
if redis.call('HGET', sched, 'watch') == dispatcher then redis.call('HDEL', sched, 'watch', 'watch_until_us') end
if redis.call('HGET', sched, 'lone_dispatcher') == dispatcher then redis.call('HDEL', sched, 'lone', 'lone_dispatcher', 'lone_until_us') end
pass_token()
if redis.call('XPENDING', run, 'dispatchers', '-', '+', 1, dispatcher)[1] then return 0 end
redis.call('XGROUP', 'DELCONSUMER', run, 'dispatchers', dispatcher)
return 1
