"""What may remain in Redis when nothing is under way, and what else is there."""

from fnmatch import fnmatchcase

from redis.asyncio import Redis, RedisCluster

# Without a TTL. `run` may remain empty, with its consumer group.
MAY_REMAIN = ("config", "sched", "idle", "upstream:*", "audit", "wake", "run", "dead")


async def find_leaked_keys(client: Redis | RedisCluster, pool: str) -> list[str]:
    """Every key of the whole server that may not be there at rest."""
    leaked: list[str] = []
    prefix = f"sg:{{{pool}}}:"
    async for raw in client.scan_iter(count=1000):
        key = raw.decode() if isinstance(raw, bytes) else str(raw)
        if await client.pttl(key) != -1:  # it ends by itself, or has ended since the scan
            continue
        name = key.removeprefix(prefix)
        known = key == "sg:pools" or (key != name and any(fnmatchcase(name, pattern) for pattern in MAY_REMAIN))
        if not known or (name == "run" and await client.xlen(key) > 0):
            leaked.append(key)
    return sorted(leaked)


async def assert_no_leaked_keys(client: Redis | RedisCluster, pool: str) -> None:
    leaked = await find_leaked_keys(client, pool)
    assert not leaked, f"at rest, these keys of pool {pool} are left over: {leaked}"
