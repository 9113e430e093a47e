"""The SDKs' door under both HTTP libraries: what the provider sent comes back, and errors are what they know."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import pytest

from sluicegate import AsyncProducer, InvalidRequest, Producer
from sluicegate.transport import AsyncQueueTransport, QueueTransport
from sluicegate_worker import Dispatcher
from support.pools import chat, make_settings
from support.served_pool import POOL, apply_settings
from support.streaming import Streamed, chat_event
from support.upstream import Upstream, answer, echo, hang
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")

URL = "https://api.openai.com/v1/chat/completions"
STREAM = {**chat(), "stream": True}


@pytest.fixture(params=[httpx2, httpx], ids=["httpx2", "httpx"])
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def http(library: Any, producer: AsyncProducer) -> AsyncIterator[Any]:
    async with library.AsyncClient(transport=AsyncQueueTransport(producer), timeout=20) as client:
        yield client


async def test_status_headers_and_body_come_back(http: Any, dispatcher: Dispatcher, upstream: Upstream) -> None:
    headers = {"x-request-id": "r", "x-ratelimit-remaining-requests": "7", "set-cookie": "a=b", "server": "s"}
    upstream.behaviour = answer(404, b'{"error": "none" }', headers)
    response = await http.post(URL, json=chat())
    assert (response.status_code, response.content) == (404, b'{"error": "none" }')
    passed = {name: value for name, value in response.headers.items() if not name.startswith("x-sluicegate-")}
    assert passed == {
        "x-request-id": "r", "x-ratelimit-remaining-requests": "7", "content-type": "application/json",
        "content-length": "18",
    }  # fmt: skip
    assert response.headers["x-sluicegate-attempts"] == "1"


async def test_what_is_sent_arrives_as_it_is_and_without_credentials(
    http: Any, dispatcher: Dispatcher, upstream: Upstream
) -> None:
    upstream.behaviour = echo
    body = b'{"model": "m",  "messages": []}'
    headers = {"content-type": "application/json", "authorization": "Bearer sk-planted", "cookie": "c=planted"}
    response = await http.post(f"{URL}?key=planted", content=body, headers={**headers, "openai-beta": "b"})
    assert response.content == body
    [arrival] = upstream.arrivals
    assert arrival.path == "/v1/chat/completions"
    assert arrival.headers["openai-beta"] == "b"
    assert "planted" not in str(arrival)


async def test_agent_priority_and_key_come_by_headers(
    http: Any, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    headers = {"x-sluicegate-agent": "bob", "x-sluicegate-priority": "batch", "idempotency-key": "k"}
    first, second = [await http.post(URL, json=chat(), headers=headers) for _ in range(2)]
    assert first.headers["x-sluicegate-id"] == second.headers["x-sluicegate-id"]
    assert (await producer.result(first.headers["x-sluicegate-id"])).agent == "bob"
    assert len(upstream.arrivals) == 1


async def test_a_stream_comes_piece_by_piece(http: Any, dispatcher: Dispatcher, upstream: Upstream) -> None:
    told = Streamed()
    upstream.next_up.append(told)
    told.send(chat_event("a"))
    async with http.stream("POST", URL, json=STREAM) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
        pieces = response.aiter_raw()
        assert await anext(pieces) == chat_event("a")
        told.send(chat_event("b"))
        assert await anext(pieces) == chat_event("b")
        told.end()
        assert [piece async for piece in pieces] == []


async def test_who_closes_a_stream_ends_the_call(http: Any, dispatcher: Dispatcher, upstream: Upstream) -> None:
    told = Streamed()
    upstream.next_up.append(told)
    told.send(chat_event("a"))
    async with http.stream("POST", URL, json=STREAM) as response:
        assert await anext(response.aiter_raw()) == chat_event("a")
    async with asyncio.timeout(20):
        await told.left.wait()


async def test_a_stream_that_breaks_off_is_an_error_of_the_library(
    http: Any, library: Any, dispatcher: Dispatcher, upstream: Upstream
) -> None:
    told = Streamed()
    upstream.next_up.append(told)
    told.send(b"a")
    async with http.stream("POST", URL, json=STREAM) as response:
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"a"
        told.cut()
        with pytest.raises(library.ReadError, match="broke off"):
            await anext(pieces)


async def test_the_time_out_is_the_deadline(
    http: Any, library: Any, dispatcher: Dispatcher, upstream: Upstream
) -> None:
    upstream.behaviour = hang
    for body in (chat(), STREAM):
        with pytest.raises(library.ReadTimeout, match="before its deadline"):
            await http.post(URL, json=body, timeout=0.3)
    await wait_until(lambda: dispatcher.in_flight == 0, "both calls have ended")


async def test_refusals_are_answers(http: Any, redis_url: str) -> None:
    await apply_settings(make_settings(redis_url, max_backlog=1))
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as other:
        waiting = await other.submit("/chat/completions", chat())
        for body in (chat(), STREAM):
            full = await http.post(URL, json=body)
            assert (full.status_code, full.headers["x-sluicegate-error"]) == (429, "BacklogFull")
            assert int(full.headers["retry-after"]) >= 1
        await waiting.cancel()
    wrong = await http.post("https://api.openai.com/v1/audio/speech", json={"input": "a"})
    assert wrong.status_code == 400
    assert "ask the provider directly" in wrong.json()["error"]["message"]
    files = await http.post("https://api.openai.com/v1/files", files={"file": b"content"})
    assert "only JSON does" in files.json()["error"]["message"]


async def test_the_same_without_an_event_loop(
    library: Any, dispatcher: Dispatcher, upstream: Upstream, redis_url: str
) -> None:
    told = Streamed()
    upstream.next_up.extend([echo, told])
    told.send(b"one")
    loop = asyncio.get_running_loop()

    def ask() -> None:
        with Producer(redis_url, pool=POOL, agent="ann") as producer:
            with library.Client(transport=QueueTransport(producer), timeout=20) as http:
                assert http.post(URL, json=chat()).json() == chat()
                with http.stream("POST", URL, json=STREAM) as response:
                    pieces = response.iter_raw()
                    assert next(pieces) == b"one"
                    loop.call_soon_threadsafe(told.cut)
                    with pytest.raises(library.ReadError, match="broke off"):
                        next(pieces)
                assert http.post(f"{URL}/nowhere", json={}).status_code == 400
                with http.stream("POST", f"{URL}/nowhere", json=STREAM) as response:
                    assert response.status_code == 400
                    assert "is not a path" in response.read().decode()
            assert producer.request("/chat/completions", chat()).status == 200  # closing the client left it open

    await asyncio.to_thread(ask)


async def test_the_wrong_kind_of_producer_is_refused_with_the_right_kind(producer: AsyncProducer) -> None:
    with pytest.raises(InvalidRequest, match="QueueTransport is for a Producer"):
        AsyncQueueTransport(Producer(pool=POOL))  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="AsyncQueueTransport is for an AsyncProducer"):
        QueueTransport(producer)  # type: ignore[arg-type]


async def test_a_request_of_another_library_is_said(producer: AsyncProducer) -> None:
    class Strange:
        extensions: dict[str, Any] = {}  # noqa: RUF012
        method, headers = "POST", {"x-sluicegate-agent": "ann"}
        url = httpx2.URL("ftp://x/")

        async def aread(self) -> bytes:
            return b""

    with pytest.raises(TypeError, match="Strange is no request of httpx2 or httpx"):
        await AsyncQueueTransport(producer).handle_async_request(Strange())  # type: ignore[arg-type]
