"""Takes requests from a pool: lease → start their attempts → sleep for everybody, or wait for the token."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import BLOCK_S_MAX, Store
from sluicegate_worker.clock import StoreClock
from sluicegate_worker.flights import Flights
from sluicegate_worker.loops.ending import end_task
from sluicegate_worker.observe import events as told
from sluicegate_worker.observe.events import Events
from sluicegate_worker.repairs import Repairs
from sluicegate_worker.rows import Grant, Leased, read_grant
from sluicegate_worker.script_files import LEASE, PASS

_AT_ONCE = 100
_BYTES_AT_ONCE = 1_048_576
_JITTER_S = 0.05
_SPEAK_S = 1.5  # a full dispatcher still leases, for nothing, to be seen and to answer what has expired
_PASSED_ON_S = 0.2  # whoever got the token has the turn by then, or has stalled with it
_TROUBLE_S_MAX = 2.0
_MICRO = 1_000_000


class Leaser:
    """Runs until `draining` is set; then returns, and `finish` waits for the attempts that are under way."""

    def __init__(
        self,
        store: Store,
        keys: PoolKeys,
        name: str,
        clock: StoreClock,
        flights: Flights,
        concurrency: int,
        upstreams: Sequence[str],
        carry_out: Callable[[Leased], Coroutine[None, None, None]],
        notice_version: Callable[[int | None], Awaitable[None]],
        repairs: Repairs,
        events: Events,
        draining: asyncio.Event,
    ) -> None:
        self._store, self._keys, self._name, self._clock, self._flights = store, keys, name, clock, flights
        self._concurrency, self._upstreams = concurrency, upstreams
        self._carry_out, self._notice_version = carry_out, notice_version
        self._repairs, self._events, self._draining = repairs, events, draining
        self._drained: asyncio.Future[Any]

    async def run(self) -> None:
        self._drained = asyncio.ensure_future(self._draining.wait())
        try:
            await self._step_until_draining()
        finally:
            await end_task(self._drained)

    async def _step_until_draining(self) -> None:
        trouble_s = 0.0
        while not self._draining.is_set():
            try:
                await self._step()
                if trouble_s:
                    self._events.tell(told.StoreBack(pool=self._keys.pool, loop="lease", what="is leased from again"))
                trouble_s = 0.0
            except Exception as error:  # noqa: BLE001  # one pool's trouble must not end the others
                self._report(error, first=not trouble_s)
                trouble_s = min(_TROUBLE_S_MAX, max(0.05, trouble_s * 2))
                if isinstance(error, StoreUnavailable):
                    await self._repairs.look_into(error)
                await self._unless_draining(asyncio.sleep(random.uniform(trouble_s / 2, trouble_s)))

    def _report(self, error: Exception, *, first: bool) -> None:
        pool, what = self._keys.pool, "cannot be leased from"
        if isinstance(error, StoreUnavailable):
            self._events.tell(told.StoreTrouble(pool=pool, loop="lease", what=what, trouble=str(error), first=first))
        else:
            self._events.tell(told.LoopFailed(pool=pool, loop="lease"), error)

    async def finish(self) -> None:
        """Returns when every attempt that was started has ended."""
        while self._flights:
            await self._flights.wait_for_all()

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    async def _step(self) -> None:
        """One lease, and the wait that it asks for. Only the waits end early when draining: what is leased is
        started."""
        if self.in_flight >= self._concurrency:
            await self._unless_draining(self._flights.wait_for_one(_SPEAK_S))
        if self._draining.is_set():
            return
        grant = await self._lease()
        await self._notice_version(grant.version if grant else None)
        if grant is None:
            return
        if grant.verdict == "mend":
            await self._repairs.mend()
            return
        for leased in grant.leased:
            self._flights.start(leased, self._carry_out(leased))
        if grant.undecodable:
            self._events.tell(told.EntriesUndecodable(pool=self._keys.pool, count=grant.undecodable))
        wait_s = grant.wait_us / _MICRO
        if grant.verdict == "turn":
            await self._unless_draining(asyncio.sleep(wait_s))
            await PASS(self._store, self._keys, (self._name,), [(name,) for name in self._upstreams])
            wait_s = _PASSED_ON_S
        if grant.verdict == "lone":
            await self._unless_draining(self._flights.wait_for_all(wait_s) if self._flights else asyncio.sleep(wait_s))
        elif grant.verdict != "full":
            await self._unless_draining(self._wait_for_token(wait_s))

    async def _lease(self) -> Grant | None:
        """None where the pool is gone."""
        room = max(0, min(_AT_ONCE, self._concurrency - self.in_flight))
        arguments = (self._name, room, _BYTES_AT_ONCE, self._clock.lead_us)
        asked_at = time.monotonic()
        try:
            answer = await LEASE(self._store, self._keys, arguments, [(name,) for name in self._upstreams])
        except StoreUnavailable:
            self._flights.lose_answer()
            raise
        if not isinstance(answer, list):
            return None
        grant = read_grant(answer)
        read_at = time.monotonic()
        self._clock.see(grant.now_us, read_at)
        self._events.tell(told.Leased(pool=self._keys.pool, count=len(grant.leased), took_s=read_at - asked_at))
        self._flights.hear_answer(grant.now_us)
        return grant

    async def _wait_for_token(self, wait_s: float) -> None:
        """Jitter, so that those whose wait ends together do not all ask at once."""
        timeout_s = min(BLOCK_S_MAX, wait_s + random.uniform(0, _JITTER_S))
        await self._store.wait("BLPOP", self._keys.fixed("wake"), max(0.001, round(timeout_s, 3)))

    async def _unless_draining(self, wait: Coroutine[Any, Any, None]) -> None:
        waiting = asyncio.ensure_future(wait)
        try:
            await asyncio.wait((waiting, self._drained), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_task(waiting)
        if not waiting.cancelled():
            waiting.result()
