"""What Kubernetes and Prometheus ask a dispatcher by HTTP: /livez, /readyz and /metrics."""

import asyncio
from collections.abc import Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest

from sluicegate.errors import StoreUnavailable
from sluicegate.store import Store
from sluicegate_worker.dispatcher import Dispatcher
from sluicegate_worker.observe.counters import Counters
from sluicegate_worker.observe.gauges import Gauges
from sluicegate_worker.observe.snapshot import read_status

_PATIENCE_S = 2.0  # with Redis; a probe or a scrape that takes longer is given up by who made it


class Probes:
    """`/livez` is 200 while the event loop turns, also while it drains and while Redis is away: a restart would mend
    neither. `/readyz` is 200 while it serves and Redis answers, else 503. Both answer a line of text."""

    def __init__(self, dispatcher: Dispatcher, counters: Counters, store: Store, pools: Sequence[str]) -> None:
        self._dispatcher, self._counters, self._store, self._pools = dispatcher, counters, store, pools
        self.pages = {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._metrics}

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if not self._dispatcher.is_serving:
            return web.Response(status=503, text="draining, or not yet serving\n")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._store.call("PING")
        except (StoreUnavailable, TimeoutError):
            return web.Response(status=503, text="Redis does not answer\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        self._counters.measure(self._dispatcher.in_flight_by_pool, self._dispatcher.concurrency)
        text = _render(self._counters.registry) + _render((await self._look()).registry)
        return web.Response(text=text, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _look(self) -> Gauges:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return Gauges(await read_status(self._store, self._pools, 0), await self._store.describe_servers())
        except (StoreUnavailable, TimeoutError):
            return Gauges(None, {})


def _render(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()
