"""The same numbers by HTTP: /scale as JSON, and what probes and Prometheus ask."""

from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from sluicegate_worker.scaler.lookout import Lookout, NotSeen
from sluicegate_worker.scaler.service import ScalerMetrics
from sluicegate_worker.scaler.wish import InvalidWish, read_wish

SCHEMA = 1

_encode = msgspec.json.Encoder().encode


class ScalerPage:
    """`GET /scale?pool=chat&signal=dispatchers` takes the parameters of a trigger and answers {schema, pool, signal,
    value}; {schema, error} with 400 where they are wrong, 404 where there is no such pool, 503 where Redis is away."""

    def __init__(self, lookout: Lookout, metrics: ScalerMetrics) -> None:
        self._lookout, self._metrics = lookout, metrics
        self.pages = {
            "/scale": self._scale,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._show_metrics,
        }

    async def _scale(self, request: web.Request) -> web.Response:
        try:
            wish = read_wish(request.query)
            value = self._lookout.answer(wish)
        except InvalidWish as error:
            return _answer(400, {"error": str(error)})
        except NotSeen as error:
            return _answer(503 if error.why == "store" else 404, {"error": str(error)})
        self._metrics.note(wish, value)
        return _answer(200, {"pool": wish.pool, "signal": wish.signal, "value": value})

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._lookout.sees:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="Redis does not answer\n")

    async def _show_metrics(self, _: web.Request) -> web.Response:
        text = generate_latest(self._metrics.registry).decode()
        return web.Response(text=text, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})


def _answer(status: int, found: dict[str, Any]) -> web.Response:
    body = _encode({"schema": SCHEMA, **found}) + b"\n"
    return web.Response(status=status, body=body, content_type="application/json")
