"""Passes on what has come of streamed answers: pieces of all of them together, every few milliseconds."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.observe.events import Events, LoopFailed, StoreTrouble
from sluicegate_worker.relay import ASK_S, Relay
from sluicegate_worker.rows import Leased, RelayRow
from sluicegate_worker.script_files import RELAY

_PAUSE_S = 0.02  # for what comes meanwhile to go together; the first piece of an answer does not wait
_TROUBLE_S = 0.25
_ROWS_MAX = 100
_BYTES_MAX = 262_144

Said = list[tuple[Relay, RelayRow]]


class Relayer:
    """The answers that this dispatcher streams from one pool; `run` goes on until it is cancelled."""

    def __init__(self, store: Store, keys: PoolKeys, events: Events) -> None:
        self._store, self._keys, self._events = store, keys, events
        self._open: dict[str, Relay] = {}
        self._stirred, self._urgent = asyncio.Event(), asyncio.Event()

    def __contains__(self, fence: str) -> bool:
        return fence in self._open

    @contextlib.contextmanager
    def open(self, leased: Leased, producer: str) -> Iterator[Relay]:
        relay = self._open[leased.fence] = Relay(leased, producer, self._stir)
        self._stirred.set()  # there is one to ask after from now on
        try:
            yield relay
        finally:
            del self._open[leased.fence]

    def leave(self, fence: str) -> None:
        """Nobody waits for that answer any more."""
        self._open[fence].leave()

    async def is_wanted(self, relay: Relay) -> bool:
        """Asked before anything is paid for. Where Redis is away, it is."""
        with contextlib.suppress(StoreUnavailable):
            await self._pass_on([(relay, relay.make_question())])
        return not relay.is_left

    async def run(self) -> None:
        trouble = False
        while True:
            await _wait_for(self._stirred, ASK_S if self._open else None)
            self._stirred.clear()
            self._urgent.clear()
            try:
                if await self._pass_on_all():
                    trouble = False
            except Exception as error:  # noqa: BLE001  # every streamed answer depends on this loop
                self._report(error, first=not trouble)
                trouble = True
                self._stirred.set()
                await asyncio.sleep(_TROUBLE_S)
            await _wait_for(self._urgent, _PAUSE_S)

    def _report(self, error: Exception, *, first: bool) -> None:
        pool = self._keys.pool
        if isinstance(error, StoreUnavailable):
            what = "cannot have its streamed answers passed on"
            self._events.tell(StoreTrouble(pool=pool, loop="relay", what=what, trouble=str(error), first=first))
        else:
            self._events.tell(LoopFailed(pool=pool, loop="relay"), error)

    async def _pass_on_all(self) -> bool:
        """Whether there was anything."""
        now = time.monotonic()
        said = [(relay, row) for relay in self._open.values() if (row := relay.make_row(now)) is not None]
        for batch in _batches(said):
            await self._pass_on(batch)
        behind = [relay for relay in self._open.values() if relay.is_behind]
        if behind:  # a large piece is more than one row
            self._stir(any(relay.has_room for relay in behind))
        return bool(said)

    async def _pass_on(self, said: Said) -> None:
        words: list[bytes] = await RELAY(self._store, self._keys, (), [row for _, row in said])
        for (relay, row), word in zip(said, words, strict=True):
            relay.hear(word.decode(), row)

    def _stir(self, urgent: bool) -> None:  # a callback
        self._stirred.set()
        if urgent:
            self._urgent.set()


async def _wait_for(event: asyncio.Event, timeout_s: float | None) -> None:
    """Returns when it is set, or the time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


def _batches(said: Sequence[tuple[Relay, RelayRow]]) -> Iterator[Said]:
    batch: Said = []
    size = 0
    for relay, row in said:
        if batch and (len(batch) == _ROWS_MAX or size + len(row.piece) > _BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append((relay, row))
        size += len(row.piece)
    if batch:
        yield batch
