"""Everything in the database but bodies and replies, at one moment: a script reads it, so that nothing changes."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster

from support.packed import parse_entry, parse_request

READ = """
local FIELDS = { 'facts', 'place', 'crashes', 'attempts', 'sends' }
local function read(key, kind)
  if kind == 'string' then return string.find(key, ':key:', 1, true) and { redis.call('GET', key) } or {} end
  if kind == 'list' then return redis.call('LRANGE', key, 0, -1) end
  if kind == 'zset' then return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
  if kind == 'stream' then return string.find(key, ':inbox:', 1, true) and {} or redis.call('XRANGE', key, '-', '+') end
  if kind ~= 'hash' then return {} end
  if not string.find(key, ':request:', 1, true) then return redis.call('HGETALL', key) end
  local values, pairs = redis.call('HMGET', key, unpack(FIELDS)), {}
  for at, field in ipairs(FIELDS) do
    if values[at] then
      pairs[#pairs + 1] = field
      pairs[#pairs + 1] = values[at]
    end
  end
  return pairs
end
local function read_pending(key, kind)
  if kind ~= 'stream' or not string.find(key, ':run$') then return {} end
  local pending = redis.pcall('XPENDING', key, 'dispatchers', '-', '+', 1000000)
  return pending.err and {} or pending
end
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  found[#found + 1] = { key, kind, redis.call('PTTL', key), read(key, kind), read_pending(key, kind) }
end
return found
"""


class Key(NamedTuple):
    """`value` is as Redis answers it, with pairs as a dict; `pending` is for `run`: entry → consumer."""

    kind: str
    ends: bool
    value: Any
    pending: dict[str, str]


Contents = dict[str, Key]


def read_contents_sync(client: Redis) -> Contents:
    return _parse(client.eval(READ, 0))


async def read_contents(client: AsyncRedis | RedisCluster) -> Contents:
    if isinstance(client, RedisCluster):
        answers = await client.execute_command("EVAL", READ, 0, target_nodes=RedisCluster.PRIMARIES)
        return _parse([row for answer in answers.values() for row in answer])
    return _parse(await client.eval(READ, 0))


def _parse(answer: Any) -> Contents:
    contents = {}
    for key, kind, ttl_ms, value, pending in _decode(answer):
        held = {entry: consumer for entry, consumer, *_ in pending}
        contents[key] = Key(kind, ttl_ms != -1, _parse_value(key, kind, value), held)
    return contents


def _parse_value(key: str, kind: str, value: Any) -> Any:
    if kind == "stream":
        unpack = parse_entry if key.endswith(":run") else dict[str, str]
        return {entry: unpack(_pair(fields or [])) for entry, fields in value}
    if kind == "hash" and ":request:" in key:
        return parse_request(_pair(value))
    return _pair(value) if kind in ("hash", "zset") else value


def _pair(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _decode(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return [_decode(one) for one in value] if isinstance(value, Iterable) and not isinstance(value, str) else value
