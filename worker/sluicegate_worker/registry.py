"""A pool's policy in Redis: the one truth for every dispatcher and producer. Policy only; where a key is sent is
never in it."""

import math
from collections.abc import Iterator

import msgspec

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import POOLS, PoolKeys
from sluicegate.store import Store
from sluicegate_worker.policy_settings import Policy, UpstreamPolicy
from sluicegate_worker.script_files import APPLY

_MICRO = 1_000_000
_MINUTE_US = 60 * _MICRO

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Policy).decode


async def apply_policy(store: Store, pool: str, policy: Policy, who: str, *, replace: bool) -> tuple[int, bool]:
    """Makes `policy` the pool's, or leaves another that was there first unless `replace`. Returns the version in
    force and
    whether it is this policy's. Also makes sure that the consumer group exists and that producers find the pool."""
    version, ours = await APPLY(
        store, PoolKeys(pool), (who, int(replace), _encode(policy)), list(script_fields(policy))
    )
    in_force = policy if ours else (await read_policy(store, pool) or (0, policy))[1]
    models = _encode(in_force.models)
    if await store.call("HGET", POOLS, pool) != models:  # a full server refuses to write, but may be served
        await store.call("HSET", POOLS, pool, models)
    return int(version), bool(ours)


async def read_policy(store: Store, pool: str) -> tuple[int, Policy] | None:
    """The policy in force with its version, or None where there is no such pool. Raises StoreUnavailable."""
    version, policy = await store.call("HMGET", PoolKeys(pool).fixed("config"), "version", "policy")
    return None if version is None else (int(version), decode_policy(pool, policy))


def decode_policy(pool: str, policy: bytes) -> Policy:
    """Raises StoreUnavailable where what is stored is no policy."""
    try:
        return _decode(policy)
    except (ValueError, TypeError) as error:
        raise StoreUnavailable(
            f"the policy of pool {pool} cannot be read ({error}): run `sluicegate pool apply`"
        ) from error


async def list_pools(store: Store) -> list[str]:
    return sorted(name.decode() for name in await store.call("HKEYS", POOLS))


def script_fields(policy: Policy) -> Iterator[tuple[str, str | int | float]]:
    """What the scripts read of a policy, in their units, computed here once; pure."""
    yield "max_backlog", policy.max_backlog
    yield "max_backlog_per_agent", policy.max_backlog_per_agent
    yield "max_backlog_bytes", policy.max_backlog_bytes
    yield "max_request_bytes", policy.max_request_bytes
    yield "deadline_us", _microseconds(policy.deadline_s)
    yield "reply_ttl_ms", math.ceil(policy.reply_ttl_s * 1000)
    yield "dead_ttl_ms", math.ceil(policy.dead_ttl_s * 1000)
    yield "lease_us", _microseconds(policy.lease_s)
    yield "horizon_us", _microseconds(policy.slot_horizon_s)
    yield "poison_after", policy.poison_after
    yield "batch_share", policy.batch_share
    yield "retry_share", policy.retry.share
    yield "price_us", pool_price_us(policy)
    for upstream in policy.upstreams:
        yield f"price_us:{upstream.name}", price_us(upstream)
        yield f"max_in_flight:{upstream.name}", upstream.max_in_flight


def paced_rpm(upstream: UpstreamPolicy) -> float | None:
    """The rate at which the bucket leaks; None where nothing limits it."""
    return None if upstream.rpm is None else upstream.rpm * (1 - upstream.headroom)


def price_us(upstream: UpstreamPolicy) -> int:
    """What a request costs this upstream: microseconds between two slots, rounded up so that the rate is never
    exceeded."""
    rate = paced_rpm(upstream)
    return 0 if rate is None else math.ceil(_MINUTE_US / rate)


def pool_price_us(policy: Policy) -> int:
    """What a request costs its agent: microseconds of the whole pool's capacity, whichever upstream answers it."""
    rates = [paced_rpm(upstream) for upstream in policy.upstreams]
    known = [rate for rate in rates if rate is not None]
    return math.ceil(_MINUTE_US / sum(known)) if len(known) == len(rates) else 0


def _microseconds(seconds: float) -> int:
    return math.ceil(seconds * _MICRO)
