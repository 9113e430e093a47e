"""What foreign hands did to a pool's keys: looked for here, and nothing is changed. `mending.py` puts it right."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import GROUP, PoolKeys, type_of
from sluicegate.store import Store
from sluicegate_worker.registry import decode_policy
from sluicegate_worker.script_files import SURVEY
from sluicegate_worker.script_terms import TEXTS, script_fields

_KEYS_AT_ONCE = 1000
# All else are numbers.
_TEXTS = re.compile(
    rb"watch|silent|lone|lone_dispatcher|turn|deputy|pause_reason|breaker|breaker_reason|probe|(cell|hour|model):.*",
    re.DOTALL,
)
_FRACTION = re.compile(rb"_us\Z|_us:|_credit\Z|_share\Z|\A(peak|pace|outlook|ramp_level)\Z|\A(last|ceiling|headroom):")
_NEVER_NEGATIVE = (b"waiting", b"waiting_cost", b"bytes", b"in_flight")
_WHOLE_NUMBER = re.compile(rb"-?\d{1,17}")
_NUMBER = re.compile(rb"-?\d{1,17}(\.\d+)?(e[+-]?\d{1,2})?")


class WrongKey(NamedTuple):
    """A key of ours that holds something else; its name is without the pool's prefix."""

    name: str
    found: str
    expected: str


class WrongField(NamedTuple):
    """A field of a hash that should hold a number, or none below zero."""

    name: str
    field: bytes
    found: bytes


class Damage(NamedTuple):
    """`settings`: the numbers of the policy that the scripts cannot read; `requests`: the ids of all that there are;
    `aside`: what was put aside before."""

    keys: list[WrongKey]
    fields: list[WrongField]
    settings: list[str]
    group: bool
    requests: list[str]
    aside: list[str]


async def find_damage(store: Store, keys: PoolKeys) -> Damage:
    """Walks all keys of the pool. Raises StoreUnavailable."""
    types = await _survey(store, keys)
    wrong = [
        WrongKey(name, found, expected)
        for name, found in sorted(types.items())
        if (expected := type_of(name)) is not None and expected != found
    ]
    ours = sorted(name for name, found in types.items() if found == type_of(name))
    fields: list[WrongField] = []
    for name in ours:
        if name == "sched" or name.startswith("upstream:"):
            fields += find_wrong_fields(name, await _read_hash(store, keys, name))
    config = await _read_hash(store, keys, "config") if "config" in ours else {}
    group = "run" in ours and await _has_group(store, keys)
    requests = [name.removeprefix("request:") for name in ours if name.startswith("request:")]
    aside = sorted(name for name in types if name.startswith("aside:"))
    return Damage(wrong, fields, find_wrong_settings(keys.pool, config), group, requests, aside)


def find_wrong_fields(name: str, fields: Mapping[bytes, bytes]) -> list[WrongField]:
    """Pure, as is all that decides here."""
    return [WrongField(name, field, found) for field, found in fields.items() if not _is_sound(field, found)]


def find_wrong_settings(pool: str, config: Mapping[bytes, bytes]) -> list[str]:
    """Where there is no hash there is no pool, and no damage."""
    if not config:
        return []
    try:
        policy = decode_policy(pool, config.get(b"policy", b""))
        needed: dict[str, object] = {"version": None, **dict(script_fields(policy))}
    except StoreUnavailable:
        needed = {field.decode(errors="replace"): None for field in config if field != b"policy"}
    return [name for name, value in needed.items() if not _is_setting(name, value, config.get(name.encode(), b""))]


def _is_setting(name: str, value: object, found: bytes) -> bool:
    """A text must be what the policy makes of it; a number need only be one: another release may count otherwise."""
    if name in TEXTS:
        return value is None or found.decode(errors="replace") == value
    return _is_number(name.encode(), found)


def _is_sound(field: bytes, found: bytes) -> bool:
    if _TEXTS.fullmatch(field):
        return True
    return _is_number(field, found) and not (field in _NEVER_NEGATIVE and found.startswith(b"-"))


def _is_number(field: bytes, found: bytes) -> bool:
    """What Redis and Lua count with; Redis adds to whole numbers only, and the larger ones are no times."""
    return bool((_NUMBER if _FRACTION.search(field) else _WHOLE_NUMBER).fullmatch(found))


async def _survey(store: Store, keys: PoolKeys) -> dict[str, str]:
    """Every key with its type. What is no text is no name of ours either."""
    found: dict[str, str] = {}
    cursor = b"0"
    while True:
        cursor, *flat = await SURVEY(store, keys, (cursor, _KEYS_AT_ONCE))
        found |= {n.decode(errors="replace"): t.decode() for n, t in zip(flat[::2], flat[1::2], strict=True)}
        if cursor == b"0":
            return found


async def _read_hash(store: Store, keys: PoolKeys, name: str) -> dict[bytes, bytes]:
    found: Any = await store.call("HGETALL", keys.fixed(name))
    return dict(found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True))


async def _has_group(store: Store, keys: PoolKeys) -> bool:
    groups = await store.call("XINFO", "GROUPS", keys.fixed("run"))
    return any(name == GROUP.encode() for _, name, *_ in groups)
