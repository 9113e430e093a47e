"""The dead letters, newest first, page by page."""

import re
from collections.abc import AsyncIterator, Collection
from typing import Any

from msgspec import Struct

from sluicegate.errors import InvalidRequest
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.observe.history import Note, read_history
from sluicegate_worker.observe.snapshot import SCHEMA
from sluicegate_worker.script_files import GRAVEYARD

_ENTRIES_AT_ONCE = 100
_MICRO = 1_000_000
_ENTRY = re.compile(r"\d{1,20}-\d{1,20}\Z")


class DeadFilter(Struct, frozen=True, kw_only=True):
    """Which dead letters are wanted; None is any."""

    agent: str | None = None
    reason: str | None = None
    since_s: float | None = None


class DeadLetter(Struct, frozen=True):
    """A request that was given up. An entry that could not be decoded has an empty id; `error` tells what it was."""

    id: str
    agent: str
    reason: str
    status: int | None
    attempts: int
    dead_at: float
    error: str
    history: list[Note]


class DeadPage(Struct, frozen=True):
    """Some of the dead letters; `next` is the cursor of those that follow, None at the end."""

    items: list[DeadLetter]
    next: str | None
    schema: int = SCHEMA


async def read_dead(store: Store, pool: str, wanted: DeadFilter, limit: int, cursor: str | None) -> DeadPage:
    """Raises InvalidRequest for a wrong cursor."""
    if cursor and not _ENTRY.match(cursor):
        raise InvalidRequest("--cursor is not the `next` of a page of dead letters; leave it out to begin anew")
    items: list[DeadLetter] = []
    last = ""
    async for letters in walk_dead(store, pool, wanted, cursor or ""):
        for entry, letter in letters:
            if len(items) == limit:
                return DeadPage(items, last)
            items.append(letter)
            last = entry
    return DeadPage(items, None)


async def walk_dead(
    store: Store, pool: str, wanted: DeadFilter, before: str = ""
) -> AsyncIterator[list[tuple[str, DeadLetter]]]:
    """The wanted letters with their entries, some at a time. Every step goes back further in the stream, so this ends,
    also when letters are added meanwhile."""
    since_us = 0 if wanted.since_s is None else max(1, int(wanted.since_s * _MICRO))
    while True:
        entries = await GRAVEYARD(store, PoolKeys(pool), (before, since_us, _ENTRIES_AT_ONCE))
        described = [(entry.decode(), describe_letter(entry, flat)) for entry, flat in entries]
        yield [
            (entry, letter)
            for entry, letter in described
            if wanted.agent in (None, letter.agent) and wanted.reason in (None, letter.reason)
        ]
        if len(entries) < _ENTRIES_AT_ONCE:
            return
        before = described[-1][0]


async def find_letters(store: Store, pool: str, ids: Collection[str]) -> dict[str, tuple[str, DeadLetter]]:
    """The newest letter of each request, with its entry, as far as there is one."""
    found: dict[str, tuple[str, DeadLetter]] = {}
    async for letters in walk_dead(store, pool, DeadFilter()):
        for entry, letter in letters:
            if letter.id in ids:
                found.setdefault(letter.id, (entry, letter))
        if len(found) == len(ids):
            break
    return found


def describe_letter(entry: bytes, flat: list[Any]) -> DeadLetter:
    fields = {name.decode(errors="replace"): value for name, value in zip(flat[::2], flat[1::2], strict=False)}

    def text(name: str) -> str:
        value: bytes = fields.get(name, b"")
        return value.decode(errors="replace")

    return DeadLetter(
        id=text("id"),
        agent=text("agent"),
        reason=text("reason"),
        status=int(text("status")) if text("status").isdecimal() else None,
        attempts=int(text("attempts")) if text("attempts").isdecimal() else 0,
        dead_at=int(entry.partition(b"-")[0]) / 1000,
        error=text("error"),
        history=read_history(fields.get("history", b"")),
    )
