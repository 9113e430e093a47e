"""What is in flight, delayed or waiting, request by request; read in small steps, so that nobody else waits."""

import heapq
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from sluicegate.errors import InvalidRequest
from sluicegate.keys import LANES, PoolKeys
from sluicegate.store import Store
from sluicegate_worker.observe.item import Item, describe_item
from sluicegate_worker.observe.snapshot import SCHEMA
from sluicegate_worker.script_files import PENDING

State = Literal["in_flight", "delayed", "waiting"]
Sort = Literal["age", "agent", "due"]
STATES: dict[State, str] = {"in_flight": "run", "delayed": "retry", "waiting": "backlog"}  # in the order of the list
SORTS: tuple[Sort, ...] = ("age", "agent", "due")
SORTED_MOST = 200_000
_ENTRIES_AT_ONCE = 100
_STREAMS_AT_ONCE = 100
_MICRO = 1_000_000

_ENTRY = re.compile(r"\d{1,20}-\d{1,20}\Z")


class Filter(Struct, frozen=True, kw_only=True):
    """Which requests are wanted; None is any."""

    agent: str | None = None
    state: State | None = None
    lane: str | None = None
    older_than_s: float | None = None


class Page(Struct, frozen=True):
    """Some of the requests; `next` is the cursor of those that follow, None at the end."""

    at: float
    items: list[Item]
    next: str | None
    schema: int = SCHEMA


class Place(NamedTuple):
    """Where an entry stands in the list when nothing else sorts it. Also a stream, when `entry` is empty."""

    state: State
    lane: str
    agent: str
    entry: str = ""

    @property
    def order(self) -> tuple[int, int, str]:
        return list(STATES).index(self.state), LANES.index(self.lane) if self.lane else 0, self.agent


class Found(NamedTuple):
    """An item, and where it was found."""

    place: Place
    item: Item


async def read_pending(
    store: Store, pool: str, lease_s: float, wanted: Filter, sort: Sort | None, limit: int, cursor: str | None
) -> Page:
    """A page of the pool's requests, `sort`ed or in the order of their streams. Raises InvalidRequest."""
    keys = PoolKeys(pool)
    if sort is None:
        return await _read_in_place(store, keys, lease_s, wanted, limit, cursor)
    return await _read_sorted(store, keys, lease_s, wanted, sort, limit, cursor)


async def collect_pending(store: Store, pool: str, wanted: Filter) -> tuple[float, list[Item]]:
    """All of them at once, and the server's time when the first was read. One that moves meanwhile may be missing."""
    began_s, items = 0.0, []
    async for at_s, batch in _walk(store, PoolKeys(pool), 0.0, wanted, None):
        began_s = began_s or at_s
        items += [found.item for found in batch]
    return began_s, items


async def _read_in_place(
    store: Store, keys: PoolKeys, lease_s: float, wanted: Filter, limit: int, cursor: str | None
) -> Page:
    begin = _decode_cursor(cursor, Place) if cursor else None
    if begin and (not _ENTRY.match(begin.entry) or (begin.lane and begin.lane not in LANES)):
        raise _wrong_cursor()
    page: list[Found] = []
    now_s = 0.0
    async for batch_s, batch in _walk(store, keys, lease_s, wanted, begin):
        now_s = batch_s
        page += batch
        if len(page) > limit:
            return Page(now_s, [found.item for found in page[:limit]], _encode_cursor(page[limit - 1].place))
    return Page(now_s, [found.item for found in page], None)


async def _read_sorted(
    store: Store, keys: PoolKeys, lease_s: float, wanted: Filter, sort: Sort, limit: int, cursor: str | None
) -> Page:
    rank, form = _RANKS[sort]
    begin = _decode_cursor(cursor, form) if cursor else None
    items: list[Item] = []
    now_s = 0.0
    async for batch_s, batch in _walk(store, keys, lease_s, wanted, None):
        now_s = batch_s
        items += [found.item for found in batch if begin is None or rank(found.item) > begin]
        if len(items) > SORTED_MOST:
            raise InvalidRequest(
                f"more than {SORTED_MOST:,} requests are too many to sort; narrow the list or leave --sort out"
            )
    first = heapq.nsmallest(limit, items, key=rank)
    return Page(now_s, first, _encode_cursor(rank(first[-1])) if len(items) > len(first) else None)


async def _walk(
    store: Store, keys: PoolKeys, lease_s: float, wanted: Filter, begin: Place | None
) -> AsyncIterator[tuple[float, list[Found]]]:
    """The server's time and some of the wanted requests behind `begin`, until there are no more.

    Every step reads further in a stream or ends one, so this ends.
    """
    streams = [s for s in await _list_streams(store, keys, wanted) if begin is None or s.order >= begin.order]
    after = begin.entry if begin and streams and streams[0].order == begin.order else ""
    at = 0
    while True:
        chunk = streams[at : at + _STREAMS_AT_ONCE]
        rows = [(STATES[s.state], s.lane, s.agent, "" if number else after) for number, s in enumerate(chunk)]
        now_us, finished, last, requests = await PENDING(store, keys, (_ENTRIES_AT_ONCE,), rows)
        now_s = now_us / _MICRO
        found = [_describe(request, lease_s) for request in requests]
        yield now_s, [one for one in found if _is_wanted(one.item, wanted, now_s)]
        at, after = at + finished, last.decode()
        if at >= len(streams):
            return


async def _list_streams(store: Store, keys: PoolKeys, wanted: Filter) -> list[Place]:
    streams = [Place(state, "", "") for state in STATES if state != "waiting" and wanted.state in (None, state)]
    if wanted.state in (None, "waiting"):
        for lane in LANES if wanted.lane is None else (wanted.lane,):
            agents = {wanted.agent} if wanted.agent is not None else await _list_agents(store, keys.ring(lane))
            streams += [Place("waiting", lane, agent) for agent in sorted(agents)]
    return streams


async def _list_agents(store: Store, ring: str) -> set[str]:
    agents: set[str] = set()
    cursor = b"0"
    while True:
        cursor, flat = await store.call("ZSCAN", ring, cursor, "COUNT", 1000)
        agents.update(_member(pair) for pair in (flat if flat and isinstance(flat[0], tuple) else flat[::2]))
        if int(cursor) == 0:
            return agents


def _member(found: Any) -> str:
    """Clients give members alone or with their score."""
    member: bytes = found[0] if isinstance(found, tuple) else found
    return member.decode(errors="replace")


def _describe(request: list[Any], lease_s: float) -> Found:
    item = describe_item(request, lease_s)
    state = next(state for state, stream in STATES.items() if stream == request[0].decode())
    place = Place(state, item.lane, item.agent) if state == "waiting" else Place(state, "", "")
    return Found(place._replace(entry=request[1].decode()), item)


def _is_wanted(item: Item, wanted: Filter, now_s: float) -> bool:
    return (
        wanted.agent in (None, item.agent)
        and wanted.lane in (None, item.lane)
        and (wanted.older_than_s is None or now_s - item.enqueued_at >= wanted.older_than_s)
    )


_RANKS: dict[Sort, tuple[Callable[[Item], tuple[Any, ...]], Any]] = {
    "age": (lambda i: (i.enqueued_at, i.id), tuple[float, str]),
    "agent": (lambda i: (i.agent, i.enqueued_at, i.id), tuple[str, float, str]),
    "due": (lambda i: (i.due_at is None, i.due_at or 0.0, i.enqueued_at, i.id), tuple[bool, float, float, str]),
}


def _encode_cursor(values: tuple[Any, ...]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(values)).decode()


def _decode_cursor(cursor: str, form: Any) -> Any:
    try:
        return msgspec.json.decode(urlsafe_b64decode(cursor.encode()), type=form)
    except (ValueError, RecursionError):
        raise _wrong_cursor() from None


def _wrong_cursor() -> InvalidRequest:
    return InvalidRequest(
        "--cursor is not the `next` of a page of this list with the same --sort; leave it out to begin anew"
    )
