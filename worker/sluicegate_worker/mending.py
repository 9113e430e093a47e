"""Puts right what foreign hands did to a pool's keys, loudly and without destroying anything.

A key of the wrong type is put aside, under a name and with a time to live that let an operator look at it. A field that
is no number is forgotten; numbers of the policy are worked out again from the policy. Then the group is made, requests
that no index leads to any more are led back, and the counters count anew. Several dispatchers may do so at once.
"""

from typing import Any

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.damage import WrongField, WrongKey, find_damage
from sluicegate_worker.registry import decode_policy
from sluicegate_worker.script_files import APPLY, FORGET, PUT_ASIDE, RECOUNT, RESTORE
from sluicegate_worker.script_terms import script_fields

_AT_ONCE = 200
_MENDER = "mending"


async def mend(store: Store, keys: PoolKeys) -> list[str]:
    """Returns a sentence for each thing that was put right, fit for a log. Raises StoreUnavailable."""
    damage = await find_damage(store, keys)
    said = [sentence for key in damage.keys for sentence in await _put_aside(store, keys, key)]
    await store.call("HDEL", keys.fixed("sched"), "trouble")
    said += await _forget(store, keys, damage.fields)
    said += await _renew_settings(store, keys, damage.settings)
    if said or not damage.group:
        said += await _restore(store, keys, damage.requests)
    return said


async def _put_aside(store: Store, keys: PoolKeys, key: WrongKey) -> list[str]:
    aside: bytes = await PUT_ASIDE(store, keys, (key.name, key.expected))
    if not aside:
        return []  # somebody else was here first
    sentence = f"{key.name} held a {key.found} instead of a {key.expected}; it is now {aside.decode()}"
    return [f"{sentence}, and the policy comes from the dispatcher's file" if key.name == "config" else sentence]


async def _forget(store: Store, keys: PoolKeys, fields: list[WrongField]) -> list[str]:
    said: list[str] = []
    for at in range(0, len(fields), _AT_ONCE):
        some = fields[at : at + _AT_ONCE]
        gone: list[int] = await FORGET(store, keys, (), some)
        said += [
            f"{name}: {_show(field)} was {_show(found)}, which it cannot be; it is deleted"
            for (name, field, found), one in zip(some, gone, strict=True)
            if one
        ]
    return said


async def _renew_settings(store: Store, keys: PoolKeys, lost: list[str]) -> list[str]:
    """The scripts' numbers come from the policy beside them; where there is none, the file of a dispatcher has it."""
    if not lost:
        return []
    names = _show(", ".join(lost).encode())
    text = await store.call("HGET", keys.fixed("config"), "policy")
    try:
        policy = decode_policy(keys.pool, text)
    except StoreUnavailable:
        said = await _put_aside(store, keys, WrongKey("config", "hash without a policy", "hash with one"))
        return [f"{sentence} ({names} could not be read)" for sentence in said]
    await APPLY(store, keys, (_MENDER, -1, text), list(script_fields(policy)))
    return [f"config: {names} could not be read; worked out again from the policy"]


async def _restore(store: Store, keys: PoolKeys, requests: list[str]) -> list[str]:
    said, led_back = [], 0
    for at in range(0, max(1, len(requests)), _AT_ONCE):
        answer: list[Any] = await RESTORE(store, keys, (), [(one,) for one in requests[at : at + _AT_ONCE]])
        if answer[0]:
            said.append("run: the consumer group was missing; it is made again")
        led_back += answer[1]
    if led_back:
        said.append(f"{led_back} requests that nothing led to any more are back in their places")
    if not await RECOUNT(store, keys):
        said.append("sched: there is too much to count anew; its counters may be wrong until nothing waits")
    return said


def _show(found: bytes) -> str:
    """A stranger's text, short and harmless."""
    return f"{found.decode(errors='replace')!r:.60}"
