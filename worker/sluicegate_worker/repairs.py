"""When a pool is mended: as soon as the server refuses a script for what it found there, by one task at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.mending import mend
from sluicegate_worker.observe.events import Events, PoolDamaged, PoolNotMended

_AGAIN_S = 1.0


class Repairs:
    """One pool's; `notice_version` reads the policy anew, and brings the file's where there is none left."""

    def __init__(
        self, store: Store, keys: PoolKeys, events: Events, notice_version: Callable[[int | None], Awaitable[None]]
    ) -> None:
        self._store, self._keys, self._events, self._notice_version = store, keys, events, notice_version
        self._one = asyncio.Lock()
        self._ended_at = float("-inf")

    async def look_into(self, error: StoreUnavailable) -> None:
        """Mends if the error says that there is something to mend. Never raises."""
        answer = error.answer or ""
        if "WRONGTYPE" in answer or "user_script" in answer:
            try:
                await self.mend()
            except StoreUnavailable as trouble:
                self._events.tell(PoolNotMended(pool=self._keys.pool, trouble=str(trouble)))

    async def mend(self) -> None:
        """All who meet the same damage in one moment wait for one repair; who comes later, for the next, a second after
        it, so that what cannot be mended keeps nobody busy. Raises StoreUnavailable."""
        met_at = time.monotonic()
        async with self._one:
            if self._ended_at > met_at:
                return
            await asyncio.sleep(max(0.0, self._ended_at + _AGAIN_S - time.monotonic()))
            try:
                for sentence in await mend(self._store, self._keys):
                    self._events.tell(PoolDamaged(pool=self._keys.pool, found=sentence))
                await self._notice_version(None)
            finally:
                self._ended_at = time.monotonic()
