"""An SDK's key and its caller's cookie stay in the caller's process: not in Redis, its files, any log, or a call."""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.embedded import EmbeddedServer
from support.doors import KINDS, SDK_KEY, open_door
from support.pools import chat, make_settings
from support.sdk_answers import completion, tell
from support.stored import read_everything
from support.upstream import Upstream, once
from support.waiting import wait_until

COOKIE = "session-planted-0123456789"
WORD = "a-word-of-the-body"  # is found, so that the search is known to work
SDK_LOGS = ("openai", "httpx", "httpcore")  # what these write about a request, they write without us as well


@pytest.fixture
def writing_server() -> Iterator[EmbeddedServer]:
    """Writes every command to its file at once."""
    with EmbeddedServer("--appendfsync", "always") as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
async def test_credentials_of_an_sdk_go_nowhere(
    kind: str, writing_server: EmbeddedServer, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gate = asyncio.Event()
    upstream.behaviour = once(gate, tell(completion({"content": "Aare"})))
    url = writing_server.url
    async with (
        Dispatcher(make_settings(url, upstream.base_url)),
        Redis.from_url(url, protocol=2) as client,
        open_door("openai", kind, url, default_headers={"cookie": f"session={COOKIE}"}) as door,
    ):
        asked = asyncio.create_task(door.call("chat.completions.create", **chat(WORD)))
        await wait_until(lambda: upstream.arrivals, "the call is under way")
        stored = [await read_everything(client)]
        gate.set()
        assert (await asked).choices[0].message.content == "Aare"
        stored.append(await read_everything(client))
    assert WORD.encode() in stored[0]
    written = b"".join(file.read_bytes() for file in writing_server.directory.rglob("*") if file.is_file())
    assert WORD.encode() in written
    logged = "\n".join(one.getMessage() for one in caplog.records if not one.name.startswith(SDK_LOGS)).encode()
    sent = repr(upstream.arrivals).encode()
    for credential in (SDK_KEY.encode(), COOKIE.encode()):
        assert credential not in b"".join((*stored, written, logged, sent))
