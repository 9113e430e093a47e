"""How an answer finds the one who waits: one blocking reader for all open requests of a producer on one pool.

The reply key is the truth and the inbox only the bell, so nothing is lost when a notice is: after every broken
connection, every half minute, and when a deadline has passed, the reader looks up the outcomes themselves.
"""

import asyncio
import contextlib
import logging
import random
import time
from typing import Any

from msgspec import Struct, field

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.pieces import Pieces
from sluicegate.script_files import WATCH
from sluicegate.store import Store

_BLOCK_S = 2.0
_SWEEP_S = 30.0
_OVERDUE_S = 1.0
_BATCH = 200
_KEPT_BYTES_MAX = 65_536  # of what was read: to delete each entry at once would cost as much as to read it
_KEPT_ENTRIES_MAX = 32  # streams are held back by how many entries there are, read or not

CLOSED = "the producer is closed; use another, or open it again"

_log = logging.getLogger("sluicegate.inbox")


class Waiter(Struct):
    """An outcome that is waited for; `ends_at` is by the monotonic clock, `sharers` counts those who wait for it
    together."""

    ends_at: float
    sharers: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    streams: list[Pieces] = []
    reply: bytes | None = None
    error: StoreUnavailable | None = None

    async def wait(self) -> bytes | None:
        """The reply's bytes, or None where it is no longer kept. Raises StoreUnavailable when the inbox was closed."""
        await self.ended.wait()
        return self.result()

    def result(self) -> bytes | None:
        """The same, once it has `ended`."""
        if self.error is not None:
            raise self.error
        return self.reply

    def end(self, reply: bytes | None, error: StoreUnavailable | None = None) -> None:
        self.reply, self.error = reply, error
        self.ended.set()
        for pieces in self.streams:
            pieces.changed.set()


class Inbox:
    """Started by the first request that waits; `close` ends the reader and lets Redis forget the inbox."""

    def __init__(self, store: Store, keys: PoolKeys, producer: str) -> None:
        self._store, self._keys, self._producer = store, keys, producer
        self._key = keys.inbox(producer)
        self._open: dict[str, Waiter] = {}
        self._last = "0-0"
        self._kept_entries = self._kept_bytes = 0  # of what was read, and the stream still has
        self._swept_at = self._scanned_at = time.monotonic()
        self._reader: asyncio.Task[None] | None = None
        self._closing = False

    def expect(self, request_id: str, deadline_s: float) -> Waiter:
        """Call it before the request is sent, so that no answer can come too early. Whoever waits for one id shares a
        waiter. Raises StoreUnavailable when the inbox is closed."""
        if self._closing:
            raise StoreUnavailable(CLOSED)
        waiter = self._open.get(request_id)
        if waiter is None:
            waiter = Waiter(time.monotonic() + deadline_s)
            self._open[request_id] = waiter
        waiter.sharers += 1
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_for_ever(), name=f"inbox of {self._keys.pool}")
        return waiter

    def forget(self, request_id: str, waiter: Waiter) -> None:
        """One of its sharers gives up; the others still wait."""
        waiter.sharers -= 1
        if waiter.sharers == 0 and self._open.get(request_id) is waiter:
            del self._open[request_id]

    def deliver(self, request_id: str, reply: bytes | None) -> None:
        waiter = self._open.pop(request_id, None)
        if waiter is not None:
            waiter.end(reply)

    async def look(self, request_ids: list[str]) -> dict[str, str]:
        """Asks for the outcomes themselves; delivers those that are there and returns the states of the others."""
        states: dict[str, str] = {}
        for at in range(0, len(request_ids), _BATCH):
            ids = request_ids[at : at + _BATCH]
            answers: list[list[bytes]] = await WATCH(self._store, self._keys, (self._producer,), [(i,) for i in ids])
            for request_id, (state, *reply) in zip(ids, answers, strict=True):
                if state == b"final":
                    self.deliver(request_id, reply[0])
                    states[request_id] = "final"
                else:
                    states[request_id] = state.decode()
        return states

    async def close(self) -> None:
        self._closing = True  # a cancellation alone is not enough: under a time-out the client may take it for one
        if self._reader is not None:
            while not self._reader.done():
                self._reader.cancel()
                await asyncio.wait([self._reader], timeout=0.1)
            with contextlib.suppress(StoreUnavailable):  # then it ends by its TTL
                await self._store.call("DEL", self._key)
        for request_id, waiter in self._open.items():
            fate = "its stream is cancelled" if waiter.streams else "it lives on"
            closed = f"the producer was closed before request {request_id} was answered; {fate}"
            waiter.end(None, StoreUnavailable(closed))
        self._open.clear()

    async def _read_for_ever(self) -> None:
        trouble_s = 0.0
        while not self._closing:
            try:
                if trouble_s:
                    await self._sweep(list(self._open))
                await self._read_once()
                trouble_s = 0.0
            except StoreUnavailable as error:
                trouble_s = min(5.0, max(0.1, trouble_s * 2))
                _log.warning("replies of pool %s cannot be read, trying again: %s", self._keys.pool, error)
                await asyncio.sleep(random.uniform(0, trouble_s))
            except Exception:  # noqa: BLE001  # everybody who waits depends on this loop
                trouble_s = 1.0
                _log.exception("the reader of pool %s failed, trying again", self._keys.pool)
                await asyncio.sleep(trouble_s)

    async def _read_once(self) -> None:
        streams = await self._store.wait(
            "XREAD", "COUNT", 500, "BLOCK", int(_BLOCK_S * 1000), "STREAMS", self._key, self._last
        )
        missing: list[str] = []
        for entry_id, notices in _entries(streams):
            self._last = entry_id.decode()
            self._kept_entries += 1
            for name, value in notices.items():
                self._kept_bytes += len(name) + len(value)
                request_id, _, at = name.decode().partition(":")
                if at:
                    self._add_piece(request_id, at, value)
                elif value:
                    self.deliver(request_id, value)
                elif request_id in self._open:
                    missing.append(request_id)
        if missing:
            await self.look(missing)
        full = self._kept_bytes > _KEPT_BYTES_MAX or self._kept_entries >= _KEPT_ENTRIES_MAX
        if full or (self._kept_entries and not streams):
            self._kept_entries = self._kept_bytes = 0
            milliseconds, _, sequence = self._last.partition("-")
            await self._store.call("XTRIM", self._key, "MINID", f"{milliseconds}-{int(sequence) + 1}")
        await self._look_after_overdue()

    def _add_piece(self, request_id: str, at: str, piece: bytes) -> None:
        waiter = self._open.get(request_id)
        attempt, _, offset = at.partition(":")
        try:
            for pieces in waiter.streams if waiter is not None else ():
                pieces.add(int(attempt), int(offset), piece)
        except ValueError as error:
            _log.warning("a piece of request %s in pool %s cannot be read: %s", request_id, self._keys.pool, error)

    async def _look_after_overdue(self) -> None:
        now = time.monotonic()
        if now - self._scanned_at < _BLOCK_S:
            return
        self._scanned_at = now
        everybody = now - self._swept_at >= _SWEEP_S
        late = [i for i, waiter in self._open.items() if everybody or waiter.ends_at + _OVERDUE_S < now]
        if everybody:
            self._swept_at = now
        if late:
            await self._sweep(late)

    async def _sweep(self, request_ids: list[str]) -> None:
        for request_id, state in (await self.look(request_ids)).items():
            waiter = self._open.get(request_id)
            if state == "unknown" and waiter is not None and waiter.ends_at < time.monotonic():
                self.deliver(request_id, None)


def _entries(streams: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """XREAD's answer has one stream here; redis-py gives a list of pairs, or a dict from a cluster."""
    if not streams:
        return []
    pairs = streams.items() if isinstance(streams, dict) else streams
    return [entry for _, entries in pairs for entry in entries]
