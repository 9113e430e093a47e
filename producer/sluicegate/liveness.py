"""Says that a producer lives while it has streams open: when it is killed, nobody goes on paying for its answers."""

import asyncio
import contextlib
import logging
import time

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store

_TTL_MS = 10_000
_REFRESH_S = 3.0

_log = logging.getLogger("sluicegate.inbox")


class Liveness:
    """One key with a short time to live, for one producer in one pool."""

    def __init__(self, store: Store, keys: PoolKeys, producer: str) -> None:
        self._store, self._key = store, keys.alive(producer)
        self._streams = 0
        self._said_at = float("-inf")
        self._saying: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Called before a stream is submitted. Raises StoreUnavailable; `end` it in any case."""
        self._streams += 1
        if self._saying is None or self._saying.done():
            self._saying = asyncio.create_task(self._say_for_ever(), name="liveness")
        if time.monotonic() - self._said_at > _REFRESH_S:
            await self._say()

    def end(self) -> None:
        self._streams -= 1

    async def close(self) -> None:
        if self._saying is not None:
            self._saying.cancel()
            await asyncio.wait([self._saying])
            with contextlib.suppress(StoreUnavailable):  # then it ends by its TTL
                await self._store.call("DEL", self._key)

    async def _say_for_ever(self) -> None:
        """Until a while after the last stream: the next comes soon, or never."""
        while True:
            await asyncio.sleep(_REFRESH_S)
            if self._streams == 0:
                return
            try:
                await self._say()
            except StoreUnavailable as error:
                _log.warning("cannot say that this producer lives, trying again: %s", error)

    async def _say(self) -> None:
        self._said_at = time.monotonic()
        await self._store.call("SET", self._key, 1, "PX", _TTL_MS)
