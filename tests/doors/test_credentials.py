"""An SDK's key and its caller's cookie stay in its process: not in Redis, its files, any log, metric or call."""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest
from redis.asyncio import Redis

from sluicegate.store import Store
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.embedded import EmbeddedServer
from sluicegate_worker.observe.counters import Counters
from sluicegate_worker.observe.events import Events
from sluicegate_worker.observe.gauges import Gauges
from sluicegate_worker.observe.logs import LogLines
from sluicegate_worker.observe.snapshot import read_status
from support.doors import KINDS, SDK_KEY, open_door
from support.pools import chat, make_settings
from support.sdk_answers import completion, message, tell
from support.served_pool import apply_settings
from support.stored import read_everything
from support.upstream import Upstream, once
from support.waiting import wait_until

COOKIE = "session-planted-0123456789"
WORD = "a-word-of-the-body"  # is found, so that the search is known to work
SDK_LOGS = (
    "openai",
    "anthropic",
    "httpx",
    "httpcore",
)  # what these write about a request, they write without us as well
CALLS = {
    "openai": ("chat.completions.create", completion({"content": "Aare"})),  # the key is in `authorization`
    "anthropic": ("messages.create", message([{"type": "text", "text": "Aare"}])),  # and here in `x-api-key`
}


@pytest.fixture
def writing_server() -> Iterator[EmbeddedServer]:
    """Writes every command to its file at once."""
    with EmbeddedServer("--appendfsync", "always") as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sdk", CALLS)
async def test_credentials_of_an_sdk_go_nowhere(
    sdk: str, kind: str, writing_server: EmbeddedServer, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    method, answered = CALLS[sdk]
    gate, url = asyncio.Event(), writing_server.url
    upstream.behaviour = once(gate, tell(answered))
    settings = make_settings(url, upstream.base_url, upstream={"provider": sdk})
    await apply_settings(settings)
    stored: list[bytes] = []
    told: list[str] = []
    counters = Counters()

    async def look() -> bool:
        stored.append(await read_everything(client))
        return WORD.encode() in stored[-1]

    async with (
        Redis.from_url(url, protocol=2) as client,
        open_door(sdk, kind, url, default_headers={"cookie": f"session={COOKIE}"}) as door,
    ):
        asked = asyncio.create_task(door.call(method, **chat(WORD, max_tokens=9)))
        await wait_until(look, "the request waits")
        async with Dispatcher(settings, events=Events(LogLines(), counters, lambda event, _: told.append(repr(event)))):
            await wait_until(lambda: upstream.arrivals, "the call is under way")
            assert await look()
            gate.set()
            assert (await asked).to_dict() == answered
        await look()
        async with Store(url) as store:
            gauges = Gauges(await read_status(store, ["chat"]), await store.describe_servers())
    metrics = generate_latest(counters.registry) + generate_latest(gauges.registry)
    assert b'status="2xx"' in metrics
    assert told
    written = b"".join(file.read_bytes() for file in writing_server.directory.rglob("*") if file.is_file())
    assert WORD.encode() in written
    logged = "\n".join(one.getMessage() for one in caplog.records if not one.name.startswith(SDK_LOGS)).encode()
    assert logged
    sent = repr(upstream.arrivals).encode()
    for credential in (SDK_KEY.encode(), COOKIE.encode()):
        assert credential not in b"".join((*stored, written, logged, metrics, repr(told).encode(), sent))
