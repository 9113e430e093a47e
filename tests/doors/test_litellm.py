"""LiteLLM's proxy as a provider: what a caller gets through the queue is what the proxy sent, byte for byte.

The proxy makes ids and times anew for each call, so that two calls never give the same: a recorder between dispatcher
and proxy notes what was sent in the very call.
"""

import json
import re
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import httpx2
import pytest
from aiohttp import web

from sluicegate import AsyncProducer
from sluicegate.transport import AsyncQueueTransport
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.children import spawn, stop
from sluicegate_worker.demo.embedded import HOST, find_free_port
from sluicegate_worker.demo.settings import read_plain_environment
from support.environments import prepare_environment
from support.pools import chat, make_settings
from support.waiting import wait_until_sync

pytestmark = [pytest.mark.full, pytest.mark.timeout(600), pytest.mark.usefixtures("at_rest")]

KEY = f"sk-{secrets.token_hex(16)}"
BAD_KEY = "sk-bad"
REFUSED = (
    400  # without a database to look a key up in, LiteLLM says so; a 401 would be the operator's, and not come back
)
SETTINGS = """
model_list:
  - model_name: small
    litellm_params: {model: openai/small, api_key: none, mock_response: "Aare, Rhine and Rhone."}
general_settings: {master_key: %s}
"""
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}
OF_THE_CONNECTION = {"transfer-encoding", "content-length", "connection", "keep-alive"}  # each hop has its own framing
NOT_PASSED = re.compile(  # none of these is on the list of headers that go to agents: see upstream/reply_headers.py
    r"server|cache-control|content-security-policy|x-content-type-options|x-frame-options|x-litellm-.*|llm_provider-.*|x-accel-buffering|vary|access-control-.*"
)
OURS = {"x-sluicegate-id", "x-sluicegate-attempts", "x-sluicegate-queued-ms"}  # which request it was, and its way
MADE_ANEW = re.compile(rb'"(id|created|system_fingerprint)":\s*("[^"]*"|\d+)')


class Sent(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Recorder:
    """Passes every call on to the proxy, and notes what it answered."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.sent: list[Sent] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, self._target + request.path_qs, headers=headers, data=await request.read()
            ) as answered,
        ):
            named = {name.lower(): value for name, value in answered.headers.items()}
            passed = web.StreamResponse(status=answered.status, headers=drop(named, OF_THE_CONNECTION))
            await passed.prepare(request)
            body = b""
            async for chunk in answered.content.iter_any():
                body += chunk
                await passed.write(chunk)
            self.sent.append(Sent(answered.status, named, body))
            await passed.write_eof()
            return passed


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """LiteLLM's address; its models are mocked, and answer without a provider."""
    program = prepare_environment("litellm") / "litellm"
    directory, port = tmp_path_factory.mktemp("litellm"), find_free_port()
    settings, log = directory / "litellm.yaml", directory / "litellm.log"
    settings.write_text(SETTINGS % KEY)
    with log.open("wb") as file:
        command: list[str | Path] = [program, "--config", settings, "--host", HOST, "--port", str(port)]
        process = spawn(command, env=read_plain_environment() | QUIET, stdout=file, stderr=subprocess.STDOUT)
    url = f"http://{HOST}:{port}"
    try:
        wait_until_sync(lambda: is_up(url, process, log), "LiteLLM's proxy answers", timeout_s=180)
        yield url
    finally:
        stop(process)


def is_up(url: str, process: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert process.poll() is None, log.read_text(errors="replace")
    try:
        return httpx2.get(f"{url}/health/liveliness", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture
async def recorder(proxy: str) -> AsyncIterator[tuple[Recorder, str]]:
    noting = Recorder(proxy)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", noting.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    yield noting, f"http://{HOST}:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


@pytest.fixture
async def queued(
    redis_url: str, recorder: tuple[Recorder, str], producer: AsyncProducer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx2.AsyncClient]:
    monkeypatch.setenv("LITELLM_TEST_KEY", KEY)
    upstream = {"provider": "generic", "api_key_env": "LITELLM_TEST_KEY"}
    async with (
        Dispatcher(make_settings(redis_url, recorder[1], upstream=upstream)),
        httpx2.AsyncClient(transport=AsyncQueueTransport(producer), timeout=30) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (chat(), 200),
        (chat(stream=True), 200),
        (chat(stream=True, stream_options={"include_usage": True}), 200),
        ({**chat(), "model": "nobody-knows-it"}, 400),
        ({**chat(stream=True), "model": "nobody-knows-it"}, 400),
    ],
    ids=["chat", "stream", "stream with usage", "unknown model", "stream of an unknown model"],
)
async def test_the_queue_changes_nothing(
    recorder: tuple[Recorder, str], queued: httpx2.AsyncClient, proxy: str, body: dict[str, Any], status: int
) -> None:
    came = await queued.post("https://litellm.example/v1/chat/completions", json=body)
    [sent] = recorder[0].sent
    assert (came.status_code, came.content) == (sent.status, sent.body)
    assert came.status_code == status
    assert drop(came.headers, OURS | OF_THE_CONNECTION) == drop_unpassed(sent.headers)
    direct = await ask_directly(proxy, body)
    assert (direct.status_code, anonymous(direct.content)) == (status, anonymous(came.content))
    assert direct.headers["content-type"] == came.headers["content-type"]


async def test_a_key_of_the_callers_own_is_not_used(
    recorder: tuple[Recorder, str], queued: httpx2.AsyncClient, proxy: str
) -> None:
    """The one difference that is meant: the dispatcher has the key, so a caller's bad one harms nobody."""
    assert (await ask_directly(proxy, chat(), key=BAD_KEY)).status_code == REFUSED
    url, bad = "https://litellm.example/v1/chat/completions", {"authorization": f"Bearer {BAD_KEY}"}
    came = await queued.post(url, json=chat(), headers=bad)
    assert (came.status_code, came.content) == (200, recorder[0].sent[0].body)


async def test_what_it_says_of_the_dispatchers_bad_key_comes_back(
    redis_url: str,
    recorder: tuple[Recorder, str],
    proxy: str,
    producer: AsyncProducer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LITELLM_TEST_KEY", BAD_KEY)
    upstream = {"provider": "generic", "api_key_env": "LITELLM_TEST_KEY"}
    async with (
        Dispatcher(make_settings(redis_url, recorder[1], upstream=upstream)),
        httpx2.AsyncClient(transport=AsyncQueueTransport(producer), timeout=30) as client,
    ):
        came = await client.post("https://litellm.example/v1/chat/completions", json=chat())
    direct = await ask_directly(proxy, chat(), key=BAD_KEY)
    [sent] = recorder[0].sent
    assert (came.status_code, came.content) == (sent.status, sent.body) == (direct.status_code, direct.content)
    assert came.status_code == REFUSED
    assert drop(came.headers, OURS | OF_THE_CONNECTION) == drop_unpassed(sent.headers)


async def ask_directly(proxy: str, body: Mapping[str, Any], key: str = KEY) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=30) as client:
        url = f"{proxy}/v1/chat/completions"
        return await client.post(url, content=json.dumps(body), headers={"authorization": f"Bearer {key}"})


def drop(headers: Mapping[str, str], names: set[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


def drop_unpassed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in drop(headers, OF_THE_CONNECTION).items() if not NOT_PASSED.fullmatch(name)}


def anonymous(body: bytes) -> bytes:
    return MADE_ANEW.sub(rb'"\1":0', body)
