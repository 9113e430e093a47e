"""What a test may leave in Redis: what agrees with itself, and at rest nothing but what `keys.py` says may stay."""

from fnmatch import fnmatchcase

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster

from sluicegate.keys import POOLS
from support.consistency import OF_POOL, find_contradictions
from support.contents import Contents, read_contents, read_contents_sync

# Without a TTL. `run` may remain empty, with its consumer group.
MAY_REMAIN = ("config", "sched", "idle", "upstream:*", "audit", "wake", "run")


def assert_sound(*urls: str) -> None:
    """For the end of every test: each key is one of ours or ends by itself, and belongs to something. A request may
    still wait."""
    contents: Contents = {}
    for url in urls:
        with Redis.from_url(url, protocol=2) as client:
            contents |= read_contents_sync(client)
    contradictions = find_contradictions(contents)
    assert not contradictions, f"what is left in Redis contradicts itself: {contradictions}"


async def assert_at_rest(client: AsyncRedis | RedisCluster, *pools: str) -> None:
    """Nothing is under way in these pools, nothing and no counter says so, and the server has no other key."""
    contents = await read_contents(client)
    found = [*find_contradictions(contents, *pools), *find_leftovers(contents)]
    assert not found, f"at rest, there is still something: {found}"


def find_leftovers(contents: Contents) -> list[str]:
    """The keys that only something under way explains, or nothing at all."""
    return sorted(name for name, key in contents.items() if not key.ends and _is_leftover(name, key.value))


def _is_leftover(name: str, value: object) -> bool:
    ours = OF_POOL.fullmatch(name)
    if ours is None:
        return name != POOLS
    return not any(fnmatchcase(ours[2], pattern) for pattern in MAY_REMAIN) or (ours[2] == "run" and bool(value))
