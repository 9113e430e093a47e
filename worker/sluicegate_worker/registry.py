"""A pool's policy in Redis: the one truth for every dispatcher and producer. Policy only; where a key is sent is
never in it."""

import msgspec

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import POOLS, PoolKeys
from sluicegate.store import Store
from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.script_files import APPLY, HOLD
from sluicegate_worker.script_terms import script_fields
from sluicegate_worker.settings_reading import SettingsError

_ANY_VERSION = -1

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Policy).decode


async def apply_policy(
    store: Store, pool: str, policy: Policy, who: str, *, expected: int | None = None
) -> tuple[int, bool]:
    """Makes `policy` the pool's: in place of whatever is there, or only of version `expected`; 0: of none. Returns the
    version in force and whether it is this policy's. Also makes sure that the consumer group exists and that producers
    find the pool."""
    replaced = _ANY_VERSION if expected is None else expected
    version, ours = await APPLY(store, PoolKeys(pool), (who, replaced, _encode(policy)), list(script_fields(policy)))
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


async def hold_pool(store: Store, pool: str, upstream: str | None, who: str, *, held: bool) -> bool:
    """Pauses the pool or one of its upstreams, or lets it go on; whether that changed anything. Raises SettingsError
    where there is no such upstream, StoreUnavailable where there is no such pool any more."""
    answer = await HOLD(store, PoolKeys(pool), (who, upstream or "", int(held)))
    if answer == b"no upstream":
        raise SettingsError(f"pool {pool} has no upstream {upstream}; `sluicegate pool show {pool}` lists them")
    if answer == b"no pool":
        raise StoreUnavailable(f"the policy of pool {pool} is gone: run `sluicegate pool apply`")
    return bool(answer)


async def list_holds(store: Store, pool: str) -> list[str]:
    """What operators have paused and not let go on: names of upstreams, and "" for the pool itself, which is first."""
    fields = [field.decode(errors="replace") for field in await store.call("HKEYS", PoolKeys(pool).fixed("config"))]
    return sorted(field.partition(":")[2] for field in fields if field == "held" or field.startswith("held:"))
