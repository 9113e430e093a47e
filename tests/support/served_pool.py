"""A pool with a dispatcher in this process, whose upstream does what the body of each request asks for."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sluicegate.store import Store
from sluicegate_worker import Dispatcher
from sluicegate_worker.policy_settings import Breaker
from sluicegate_worker.registry import apply_policy
from sluicegate_worker.settings import Pool, Retry, Settings, Upstream, policy_of
from support.echo import echo_in_pieces

POOL = "chat"
PATH = "/chat/completions"
JSON = {"content-type": "application/json"}
UNMOVED = Breaker(failures=1_000_000)  # what fails here was asked to
SHOUT = "loud\x1b[2J\n[red]näive"

_gates: dict[str, asyncio.Event] = {}


async def obey(
    path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes | AsyncIterator[bytes]]:
    """`do` in the body: echo, refuse, fail, shout, limit, stream, or hold, which answers when the gate opens."""
    match json.loads(body or b"{}").get("do", "echo"):
        case "refuse":
            return 404, JSON, b'{"error":{"message":"no such model"}}'
        case "fail":
            return 500, JSON, b'{"error":"broken"}'
        case "shout":
            return 200, {"content-type": "text/plain"}, SHOUT.encode()
        case "limit":
            return 429, {"retry-after": "60"}, b"slow down"
        case "stream":
            return await echo_in_pieces(path, body, headers)
        case "hold":
            await _gates["gate"].wait()
    return 200, JSON, json.dumps({"path": path, "echo": json.loads(body or b"null")}).encode()


def make_settings(redis_url: str, *, rpm: float | None = 6_000, max_in_flight: int = 100, **rules: Any) -> Settings:
    upstream = Upstream(
        name="a", provider="openai", handler="support.served_pool:obey", rpm=rpm, max_in_flight=max_in_flight
    )
    return Settings(
        redis_url=redis_url,
        pools={POOL: Pool(upstreams=(upstream,), retry=Retry(max_attempts=1), breaker=UNMOVED, **rules)},
    )


async def apply_settings(settings: Settings) -> None:
    """The pool without anybody who serves it."""
    async with Store(settings.redis_url) as store:
        for name, pool in settings.pools.items():
            await apply_policy(store, name, policy_of(pool), "test")


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[asyncio.Event]:
    """A dispatcher, and the gate that its upstream holds calls back with; it is open at the end."""
    _gates["gate"] = gate = asyncio.Event()
    async with Dispatcher(settings):
        try:
            yield gate
        finally:
            gate.set()
