"""What a dispatcher holds of one pool: requests in flight, each with the task that carries it out.

It also knows what it may have been given without knowing: the answer to a lease can get lost.
"""

import asyncio
import contextlib
from collections.abc import Coroutine

from sluicegate_worker.rows import Leased


class Flights:
    """`known_us` is when the last lease that was answered was made, by Redis' clock: all from before is in here.

    `must_tell` says that Redis may think that there is more, until a renewal has told it otherwise.
    """

    def __init__(self) -> None:
        self.known_us = 0
        self.must_tell = False
        self._lost_answer = False
        self._held: dict[str, tuple[Leased, asyncio.Task[None]]] = {}
        self._one_ended = asyncio.Event()

    def lose_answer(self) -> None:
        """A lease was not answered: perhaps it was never made, perhaps it was."""
        self._lost_answer = True

    def hear_answer(self, now_us: int) -> None:
        """A lease was answered, and what it gave is about to be started."""
        self.known_us = now_us
        self.must_tell = self.must_tell or self._lost_answer
        self._lost_answer = False

    def __len__(self) -> int:
        return len(self._held)

    def start(self, leased: Leased, attempt: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(attempt)
        self._held[leased.fence] = leased, task
        task.add_done_callback(lambda _: self._end(leased.fence))

    def held(self) -> list[Leased]:
        return [leased for leased, _ in self._held.values()]

    def find(self, fence: str) -> Leased | None:
        """None where it has ended meanwhile."""
        held = self._held.get(fence)
        return held[0] if held else None

    def cut(self, fence: str) -> None:
        """Ends the attempt where it stands, and with it the connection to its provider; nothing is written down."""
        if fence in self._held:
            self._held[fence][1].cancel()

    async def wait_for_one(self, timeout_s: float) -> None:
        """Returns when an attempt has ended, or the time is over."""
        self._one_ended.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._one_ended.wait()

    async def wait_for_all(self, timeout_s: float | None = None) -> None:
        """Returns when every attempt has ended, or the time is over."""
        if self._held:
            await asyncio.wait([task for _, task in self._held.values()], timeout=timeout_s)

    def _end(self, fence: str) -> None:
        del self._held[fence]
        self._one_ended.set()
