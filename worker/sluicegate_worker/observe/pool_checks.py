"""Whether a pool's keys are what they must be, and whether somebody serves it. Looks only; changes nothing."""

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.damage import Damage, WrongField, find_damage
from sluicegate_worker.observe.checks import Check
from sluicegate_worker.observe.snapshot import Document, read_status
from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.registry import decode_policy

_SHOWN_MOST = 5
_APPLY = "run `sluicegate pool apply`"


async def check_pool(store: Store, pool: str, ours: Policy | None) -> list[Check]:
    """`ours` is what the settings file says, None where it has no such pool. Raises StoreUnavailable."""
    keys = PoolKeys(pool)
    damage = await find_damage(store, keys)
    policy, checked = await _check_policy(store, keys, damage, ours)
    checks = [checked, *_check_keys(keys, damage)]
    if policy is not None:
        cure = "" if damage.group else _cure(keys)
        checks.append(Check("consumer group", damage.group, "there" if damage.group else "missing", cure))
    if policy is not None and not damage.keys and not damage.fields:  # else it cannot be told
        checks += _check_service((await read_status(store, [pool]))["pools"][0])
    return [Check(f"pool {pool}: {check.name}", check.ok, check.detail, check.cure) for check in checks]


async def _check_policy(
    store: Store, keys: PoolKeys, damage: Damage, ours: Policy | None
) -> tuple[Policy | None, Check]:
    """The policy in force, None where it cannot be read."""
    if any(key.name == "config" for key in damage.keys):
        return None, Check("policy", False, "its key is of the wrong type", _cure(keys))
    version, text = await store.call("HMGET", keys.fixed("config"), "version", "policy")
    if version is None:
        return None, Check("policy", False, "there is none", f"start a dispatcher, or {_APPLY}")
    try:
        policy = decode_policy(keys.pool, text)
    except StoreUnavailable:
        return None, Check("policy", False, "what is stored is no policy", _APPLY)
    if damage.settings:
        return None, Check("policy", False, f"the scripts cannot read {_list(damage.settings)}", _APPLY)
    said = f"version {version.decode(errors='replace')}"
    if ours is None or policy == ours:
        return policy, Check("policy", True, said if ours is None else f"{said}, as in the settings file")
    return policy, Check("policy", False, f"{said} differs from the settings file", f"{_APPLY}, or correct the file")


def _check_keys(keys: PoolKeys, damage: Damage) -> list[Check]:
    wrong = [f"{key.name} is a {key.found} instead of a {key.expected}" for key in damage.keys]
    fields = [_describe(field) for field in damage.fields]
    checks = [
        Check("keys", not wrong, _list(wrong) or "each of its type", _cure(keys) if wrong else ""),
        Check("counters", not fields, _list(fields) or "all are numbers", _cure(keys) if fields else ""),
    ]
    if damage.aside:
        found = f"{_list(damage.aside)}: put aside because of their type, until they end by age"
        checks.append(Check("foreign keys", True, found))
    return checks


def _check_service(status: Document) -> list[Check]:
    alive = [one for one in status["dispatchers"] if one["alive"]]
    oldest = max((one["oldest_s"] for one in status["dispatchers"] if one["oldest_s"] is not None), default=None)
    flights = f"{status['in_flight']}" if oldest is None else f"{status['in_flight']}, the oldest for {oldest:.1f} s"
    return [
        Check(
            "dispatchers", bool(alive), f"{len(alive)} alive", "" if alive else "start one with `sluicegate dispatch`"
        ),
        Check("in flight", True, flights),
        Check("waiting", True, f"{status['waiting']}, and {status['delayed']} delayed"),
        Check("dead letters", True, f"{status['dead']}"),
    ]


def _describe(wrong: WrongField) -> str:
    return (
        f"{wrong.name} has {wrong.field.decode(errors='replace')!r:.60} = {wrong.found.decode(errors='replace')!r:.60}"
    )


def _list(found: list[str]) -> str:
    more = f" and {len(found) - _SHOWN_MOST} more" if len(found) > _SHOWN_MOST else ""
    return ", ".join(found[:_SHOWN_MOST]) + more


def _cure(keys: PoolKeys) -> str:
    return f"a dispatcher mends what it meets; at once after `HSET {keys.fixed('sched')} trouble 1` in redis-cli"
