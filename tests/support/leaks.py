"""What may remain in Redis when nothing is under way, and what else is there."""

from fnmatch import fnmatchcase

from redis.asyncio import Redis, RedisCluster

# Without a TTL. `run` may remain empty, with its consumer group.
MAY_REMAIN = ("config", "sched", "idle", "upstream:*", "audit", "wake", "run", "dead")


async def find_leaked_keys(client: Redis | RedisCluster, *pools: str) -> list[str]:
    """Every key of the whole server that may not be there at rest, when only these pools are known."""
    leaked: list[str] = []
    prefixes = [f"sg:{{{pool}}}:" for pool in pools]
    async for raw in client.scan_iter(count=1000):
        key = raw.decode() if isinstance(raw, bytes) else str(raw)
        if await client.pttl(key) != -1:  # it ends by itself, or has ended since the scan
            continue
        name = next((key.removeprefix(prefix) for prefix in prefixes if key.startswith(prefix)), "")
        known = key == "sg:pools" or any(fnmatchcase(name, pattern) for pattern in MAY_REMAIN)
        if not known or (name == "run" and await client.xlen(key) > 0):
            leaked.append(key)
    return sorted(leaked)


async def assert_no_leaked_keys(client: Redis | RedisCluster, *pools: str) -> None:
    leaked = await find_leaked_keys(client, *pools)
    assert not leaked, f"at rest, these keys are left over: {leaked}"
