"""What could be had at best: one mind that knows all agents, and when the provider will fail and recover.

It sends at 97.5 % of the limit, evenly, and by start-time fair queueing, as Sluicegate means to. It needs no store, no
other process and no retry, and foresees outages and changes of the limit.
"""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import NamedTuple

from aiohttp import ClientSession, TCPConnector

from bench.herd.job import Ask, Job, Wish

HEADROOM = 0.025
MARGIN_S = 0.05  # around an outage, for the provider changes some milliseconds off the plan


class Turn(NamedTuple):
    """The smallest is next. Of equal tags, whoever was served less recently comes first, and then whoever asked."""

    tag: float
    served_before: float
    serial: int


class Oracle:
    """All agents' wishes, and the one loop that carries them out."""

    def __init__(self, session: ClientSession, job: Job) -> None:
        self._session = session
        self._url = f"{job.base_url}/chat/completions"
        self._capacity = job.capacity
        self._waiting: list[tuple[Turn, Wish, asyncio.Future[None]]] = []
        self._serial = count()
        self._clock = 0.0  # virtual time: the start tag of what was sent last
        self._finish: dict[str, float] = defaultdict(float)
        self._work = asyncio.Event()

    async def ask(self, wish: Wish) -> None:
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        agent = wish.request.agent
        turn = Turn(max(self._clock, self._finish[agent]), self._finish[agent], next(self._serial))
        self._finish[agent] = turn.tag + 1
        self._wait_for(turn, wish, answered)
        await answered

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        slot_s = 0.0
        async with asyncio.TaskGroup() as group:
            while True:
                await self._work.wait()
                began_at = self._waiting[0][1].began_at
                slot_s = self._find_slot(max(slot_s, loop.time() - began_at))
                await asyncio.sleep(began_at + slot_s - loop.time())
                picked = self._pick()
                if picked is not None:
                    group.create_task(self._send(*picked))
                    slot_s += 1 / (self._per_s(slot_s) * (1 - HEADROOM))

    def _wait_for(self, turn: Turn, wish: Wish, answered: "asyncio.Future[None]") -> None:
        heapq.heappush(self._waiting, (turn, wish, answered))
        self._work.set()

    def _pick(self) -> tuple[Turn, Wish, "asyncio.Future[None]"] | None:
        """The fairest wish whose agent has not given up."""
        picked = None
        while self._waiting and picked is None:
            turn, wish, answered = heapq.heappop(self._waiting)
            if not answered.done():
                self._clock, picked = turn.tag, (turn, wish, answered)
        if not self._waiting:
            self._work.clear()
        return picked

    async def _send(self, turn: Turn, wish: Wish, answered: "asyncio.Future[None]") -> None:
        body = wish.request.body.encode()
        async with self._session.post(self._url, data=body, headers={"Content-Type": "application/json"}) as response:
            await response.read()
        if response.status != 200:
            self._wait_for(turn, wish, answered)
        elif not answered.done():
            answered.set_result(None)

    def _per_s(self, offset_s: float) -> float:
        return next(per_s for at_s, per_s in reversed(self._capacity) if at_s <= offset_s)

    def _find_slot(self, offset_s: float) -> float:
        """This moment, or the end of the outage it falls into."""
        ends_s = [at_s for at_s, _ in self._capacity[1:]] + [float("inf")]
        for (at_s, per_s), end_s in zip(self._capacity, ends_s, strict=True):
            if per_s == 0 and at_s - MARGIN_S <= offset_s < end_s + MARGIN_S:
                return end_s + MARGIN_S
        return offset_s


@asynccontextmanager
async def open_column(job: Job) -> AsyncIterator[Ask]:
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        oracle = Oracle(session, job)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(oracle.run())
            yield oracle.ask
            running.cancel()
