"""The dispatcher: builds the parts of every pool that its file names, runs them, and drains them when told to stop."""

import asyncio
import os
import socket
from importlib.metadata import PackageNotFoundError, version
from re import sub
from types import TracebackType
from typing import Self

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.attempt import Attempts, Target
from sluicegate_worker.clock import StoreClock
from sluicegate_worker.flights import Flights
from sluicegate_worker.loops.ending import end_task
from sluicegate_worker.loops.leaser import Leaser
from sluicegate_worker.loops.relayer import Relayer
from sluicegate_worker.loops.renewer import Renewer
from sluicegate_worker.observe.events import (
    Events,
    PolicyDiffers,
    PoolLeftInSilence,
    StoreNotDurable,
    UpstreamsUnused,
    UpstreamUnlimited,
)
from sluicegate_worker.observe.logs import LogLines
from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.registry import apply_policy, read_policy
from sluicegate_worker.repairs import Repairs
from sluicegate_worker.script_files import LEAVE
from sluicegate_worker.settings import Pool, Settings, Upstream, policy_of
from sluicegate_worker.settings_secrets import read_api_key
from sluicegate_worker.upstream.call import Caller
from sluicegate_worker.upstream.handler import HandlerUpstream, import_handler
from sluicegate_worker.upstream.http import HttpUpstream


class Dispatcher:
    """Serves all pools of `settings`, with at most `concurrency` calls in flight per pool.

    `async with Dispatcher(settings): …` runs it in the background and drains it at the end; `await
    Dispatcher(settings).run()` runs until `stop` is called. Draining takes nothing new and waits for the calls that are
    in flight. What happens is told to `events`, which by default writes log lines. Raises SettingsError or
    StoreUnavailable before anything is started.
    """

    def __init__(self, settings: Settings, *, concurrency: int = 200, events: Events | None = None) -> None:
        self.version = _installed_version()
        self.name = _dispatcher_name(self.version)
        self.concurrency = concurrency
        events = events or Events(LogLines())
        self._settings = settings
        self._draining = asyncio.Event()
        self._pools = [
            PoolDispatcher(settings.redis_url, name, pool, self.name, concurrency, events, self._draining)
            for name, pool in settings.pools.items()
        ]
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        opened: list[PoolDispatcher] = []
        try:
            for pool in self._pools:
                opened.append(pool)
                await pool.open()
        except BaseException:
            for pool in opened:
                await pool.close()
            raise
        self._running = asyncio.ensure_future(self._run_pools())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        try:
            if self._running is not None:
                await self._running
        finally:
            for pool in self._pools:
                await pool.close()

    async def run(self) -> None:
        """Runs until `stop` is called and everything in flight has its outcome."""
        async with self:
            await self.drained()

    async def drained(self) -> None:
        """Returns when everything in flight has its outcome, after `stop`."""
        if self._running is not None:
            await asyncio.shield(self._running)

    def stop(self) -> None:
        """Begins to drain; harmless when repeated, and before the start."""
        self._draining.set()

    @property
    def is_serving(self) -> bool:
        """From when its pools are open until it drains."""
        return self._running is not None and not self._draining.is_set()

    @property
    def in_flight_by_pool(self) -> dict[str, int]:
        return {pool.name: pool.in_flight for pool in self._pools}

    @property
    def in_flight(self) -> int:
        return sum(self.in_flight_by_pool.values())

    async def _run_pools(self) -> None:
        async with asyncio.TaskGroup() as group:
            for pool in self._pools:
                group.create_task(pool.run())


class PoolDispatcher:
    """One pool's share of a dispatcher, with connections of its own: pools may live on different nodes of a cluster."""

    def __init__(
        self,
        redis_url: str,
        pool: str,
        settings: Pool,
        name: str,
        concurrency: int,
        events: Events,
        draining: asyncio.Event,
    ) -> None:
        self._pool, self._settings, self._name, self._draining = pool, settings, name, draining
        self._events = events
        self._store, self._keys = Store(redis_url), PoolKeys(pool)
        self._callers: dict[str, Caller] = {}
        self._flights = Flights()
        self._concurrency = concurrency
        self._version = 0
        self._attempts: Attempts
        self._leaser: Leaser
        self._relayer: Relayer
        self._renewer: Renewer

    async def open(self) -> None:
        targets = {upstream.name: self._make_target(upstream) for upstream in self._settings.upstreams}
        await self._store.__aenter__()
        if not self._store.durable:
            self._events.tell(StoreNotDurable(place=self._store.place))
        clock = StoreClock()
        repairs = Repairs(self._store, self._keys, self._events, self._notice_version)
        self._relayer = Relayer(self._store, self._keys, self._events)
        self._attempts = Attempts(
            self._store, self._keys, self._name, clock, targets, self._relayer, repairs, self._events, self._draining
        )
        self._leaser = Leaser(
            self._store,
            self._keys,
            self._name,
            clock,
            self._flights,
            self._concurrency,
            tuple(targets),
            self._attempts.carry_out,
            self._notice_version,
            repairs,
            self._events,
            self._draining,
        )
        self._renewer = Renewer(
            self._store,
            self._keys,
            self._name,
            self._flights,
            self._relayer,
            lambda: self._attempts.policy.lease_s,
            self._events,
            self._draining,
        )
        try:
            await self._notice_version(None)
        except StoreUnavailable as error:
            await repairs.look_into(error)
            await self._notice_version(None)

    async def run(self) -> None:
        renewing = asyncio.create_task(self._renewer.run(), name=f"renewer of {self._pool}")
        relaying = asyncio.create_task(self._relayer.run(), name=f"relayer of {self._pool}")
        try:
            await self._leaser.run()
            await self._leaser.finish()
        finally:
            await end_task(renewing)
            await end_task(relaying)
        try:
            await LEAVE(self._store, self._keys, (self._name,), [(name,) for name in self._callers])
        except StoreUnavailable as error:  # nothing depends on the goodbye: its turns end by themselves
            self._events.tell(PoolLeftInSilence(pool=self._pool, trouble=str(error)))

    async def close(self) -> None:
        for caller in self._callers.values():
            await caller.close()
        await self._store.__aexit__(None, None, None)

    @property
    def name(self) -> str:
        return self._pool

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    def _make_target(self, upstream: Upstream) -> Target:
        caller: Caller
        if upstream.handler is not None:
            caller = HandlerUpstream(import_handler(upstream.handler), self._settings.max_reply_bytes)
        else:
            key = read_api_key(upstream)
            caller = HttpUpstream(
                upstream.base_url or "", upstream.provider, key, self._concurrency, self._settings.max_reply_bytes
            )
        self._callers[upstream.name] = caller
        return Target(caller, upstream.provider, upstream.timeout_s, upstream.model_map)

    async def _notice_version(self, seen: int | None) -> None:
        """Follows the policy in force; None: there is none, or its group is gone, so this dispatcher's file gives the
        first."""
        if seen is not None and seen == self._version:
            return
        ours = policy_of(self._settings)
        if seen is None:
            await apply_policy(self._store, self._pool, ours, f"dispatcher {self._name}", expected=0)
        found = await read_policy(self._store, self._pool)
        if found is None:
            return
        self._version, policy = found
        self._attempts.policy = policy
        self._report_differences(policy, ours)

    def _report_differences(self, policy: Policy, ours: Policy) -> None:
        if policy != ours:
            self._events.tell(PolicyDiffers(pool=self._pool))
        missing = {u.name for u in policy.upstreams} ^ {u.name for u in ours.upstreams}
        if missing:
            self._events.tell(UpstreamsUnused(pool=self._pool, upstreams=", ".join(sorted(missing))))
        for upstream in policy.upstreams:
            if not any((upstream.rpm, upstream.tpm, upstream.itpm, upstream.otpm)):
                self._events.tell(UpstreamUnlimited(pool=self._pool, upstream=upstream.name))


def _installed_version() -> str:
    try:
        return version("sluicegate")
    except PackageNotFoundError:
        return "unknown"


def _dispatcher_name(installed: str) -> str:
    """Host, process and a chance part, then the version, which `status` shows."""
    host = sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:32]
    return f"{host}-{os.getpid()}-{os.urandom(2).hex()}@{installed}"
