"""Writes outcomes back, whatever it takes: an answer that was paid for must not be lost because Redis was away for a
moment."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sluicegate.batch import Batcher
from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.scripts import Script
from sluicegate.store import Store
from sluicegate_worker.observe.events import Events, OutcomesGivenUp, StoreBack, StoreTrouble
from sluicegate_worker.repairs import Repairs
from sluicegate_worker.rows import BuryRow, RetryRow, SettleRow
from sluicegate_worker.script_files import BURY, RETRY, SETTLE

GIVE_UP_S = 300.0
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.05, 2.0


class Persistence:
    """Settles, retries and buries. Outcomes of the same moment share a round trip, and each script may run twice
    unharmed."""

    def __init__(self, store: Store, keys: PoolKeys, repairs: Repairs, events: Events, draining: asyncio.Event) -> None:
        self._store, self._keys, self._repairs, self._draining = store, keys, repairs, draining
        self._events = events
        self._settle: Batcher[SettleRow] = Batcher(
            "settle", lambda rows: self._write(SETTLE, rows), lambda row: len(row.reply)
        )
        self._retry: Batcher[RetryRow] = Batcher("retry", lambda rows: self._write(RETRY, rows))
        self._bury: Batcher[BuryRow] = Batcher("bury", lambda rows: self._write(BURY, rows))

    async def settle(self, row: SettleRow) -> str:
        return (await self._settle.send(row)).decode()  # type: ignore[no-any-return]  # the script answers a word

    async def retry(self, row: RetryRow) -> str:
        return (await self._retry.send(row)).decode()  # type: ignore[no-any-return]  # the script answers a word

    async def bury(self, row: BuryRow) -> str:
        return (await self._bury.send(row)).decode()  # type: ignore[no-any-return]  # the script answers a word

    async def _write(self, script: Script, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        return await self.insist(lambda: script(self._store, self._keys, (), rows), f"{len(rows)} outcomes")

    async def insist(self, call: Callable[[], Awaitable[list[Any]]], what: str) -> list[Any]:
        """Makes a call that may run twice unharmed until Redis answers it.

        Only a dispatcher that drains gives up, five minutes later, and raises StoreUnavailable.
        """
        give_up_at, pause_s = math.inf, _PAUSE_S_MIN
        while True:
            try:
                answers = await call()
            except StoreUnavailable as error:
                if self._draining.is_set():
                    give_up_at = min(give_up_at, time.monotonic() + GIVE_UP_S)
                if time.monotonic() >= give_up_at:
                    self._events.tell(
                        OutcomesGivenUp(pool=self._keys.pool, what=what, given_up_after_s=GIVE_UP_S, trouble=str(error))
                    )
                    raise
                self._events.tell(
                    StoreTrouble(
                        pool=self._keys.pool,
                        loop="write",
                        what=f"has {what} that wait for Redis",
                        trouble=str(error),
                        first=pause_s == _PAUSE_S_MIN,
                    )
                )
                await self._repairs.look_into(error)
                await asyncio.sleep(random.uniform(0, pause_s))
                pause_s = min(_PAUSE_S_MAX, pause_s * 2)
            else:
                if pause_s > _PAUSE_S_MIN:
                    self._events.tell(
                        StoreBack(pool=self._keys.pool, loop="write", what=f"wrote {what} to Redis after all")
                    )
                return answers
