"""Everything that is kept of a request: while it has no outcome, and while it is dead."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import asdict

from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.observe.dead import DeadLetter, describe_letter
from sluicegate_worker.observe.history import Note, read_history
from sluicegate_worker.observe.item import Item, describe_item, read_count, read_head
from sluicegate_worker.script_files import SHOW

# What the list of dead letters does not show of a request and the other list does.
_BESIDE_LETTER = ("lane", "path", "model", "tokens", "enqueued_at", "deadline_at")


class Details(Struct, frozen=True):
    """What no list shows."""

    method: str | None = None
    headers: dict[str, str] | None = None
    crashes: int | None = None
    key: str | None = None
    on_unknown: str | None = None
    body_bytes: int | None = None


class Kept(NamedTuple):
    """A request; `entry` is where it stands in its stream, `letter` what was written down when it was given up.

    `attempts_used` counts the failures after which it had one attempt less.
    """

    item: Item
    entry: str
    attempts_used: int
    details: Details
    history: list[Note]
    body: bytes
    letter: DeadLetter | None


async def read_requests(
    store: Store, pool: str, ids: Sequence[str], *, lease_s: float = 0.0, bodies: bool = False
) -> list[Kept | str]:
    """Of each id what is kept, or `final` where only its reply is, or `unknown`."""
    _, *answers = await SHOW(store, PoolKeys(pool), (int(bodies),), [(one,) for one in ids])
    return [one.decode() if isinstance(one, bytes) else _describe(one, lease_s) for one in answers]


def describe_pending(kept: Kept) -> dict[str, Any]:
    """As the list shows it, and more."""
    more = {"attempts_used": kept.attempts_used, "history": kept.history}
    return asdict(kept.item) | asdict(kept.details) | more


def describe_dead(letter: DeadLetter, kept: Kept | None) -> dict[str, Any]:
    """As the list shows it, and more. Nothing of the request may be kept: then that is None."""
    beside = {name: getattr(kept.item, name) if kept else None for name in _BESIDE_LETTER}
    return asdict(letter) | {"state": "dead"} | beside | asdict(kept.details if kept else Details())


def _describe(answer: list[Any], lease_s: float) -> Kept:
    request, attempts, crashes, key, on_unknown, size, body, letters = answer
    head = read_head(request[8])
    details = Details(
        method=head.method,
        headers=head.headers,
        crashes=read_count(crashes),
        key=key.decode(errors="replace") or None,
        on_unknown=on_unknown.decode(errors="replace"),
        body_bytes=size,
    )
    letter = describe_letter(*letters[0]) if letters else None
    return Kept(
        item=describe_item(request, lease_s),
        entry=request[1].decode(),
        attempts_used=read_count(attempts),
        details=details,
        history=read_history(request[9]),
        body=body,
        letter=letter,
    )
