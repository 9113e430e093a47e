"""Renews the leases of what is in flight, once a second, and ends the calls whose answer nobody waits for any more."""

import asyncio
from collections.abc import Callable

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.flights import Flights
from sluicegate_worker.loops.relayer import Relayer
from sluicegate_worker.observe.events import Events, LeaseLost, LoopFailed, StoreTrouble
from sluicegate_worker.rows import RenewRow
from sluicegate_worker.script_files import RENEW

_INTERVAL_S_MAX = 1.0


class Renewer:
    """Runs until it is cancelled, also while its dispatcher drains: whoever finishes a call must be seen to live."""

    def __init__(
        self, store: Store, keys: PoolKeys, name: str, flights: Flights, relayer: Relayer, lease_s: Callable[[], float],
        events: Events, draining: asyncio.Event,
    ) -> None:  # fmt: skip
        self._store, self._keys, self._name, self._flights, self._relayer = store, keys, name, flights, relayer
        self._lease_s, self._events, self._draining = lease_s, events, draining
        self._lost: set[str] = set()

    async def run(self) -> None:
        trouble = False
        while True:
            await asyncio.sleep(min(_INTERVAL_S_MAX, self._lease_s() / 6))
            if not self._flights and not self._flights.must_tell:
                continue
            try:
                await self._renew()
                trouble = False
            except Exception as error:  # noqa: BLE001  # without it, every call of this dispatcher would be made twice
                self._report(error, first=not trouble)
                trouble = True

    def _report(self, error: Exception, *, first: bool) -> None:
        pool, what = self._keys.pool, "cannot have its leases renewed"
        if isinstance(error, StoreUnavailable):
            self._events.tell(StoreTrouble(pool=pool, loop="renew", what=what, trouble=str(error), first=first))
        else:
            self._events.tell(LoopFailed(pool=pool, loop="renew"), error)

    async def _renew(self) -> None:
        # Who drains may have given an outcome up: it no longer names that, but has called, so nothing goes back as new.
        known_us = 0 if self._draining.is_set() else self._flights.known_us
        rows = [
            RenewRow(one.fence, one.id, one.upstream, int(one.fence in self._relayer)) for one in self._flights.held()
        ]
        _, *flat = await RENEW(self._store, self._keys, (self._name, known_us), rows)
        self._flights.must_tell = self._flights.must_tell and self._flights.known_us != known_us
        lost: set[str] = set()
        for fence, word in zip(flat[::2], flat[1::2], strict=True):
            if word == b"ended" and fence.decode() in self._relayer:
                self._relayer.leave(fence.decode())
            elif word == b"ended":
                self._flights.cut(fence.decode())
            else:
                lost.add(fence.decode())
        for fence in lost - self._lost:
            taken = self._flights.find(fence)
            if taken is not None:
                self._events.tell(LeaseLost(pool=self._keys.pool, request=taken.id, agent=taken.agent))
        self._lost = lost
