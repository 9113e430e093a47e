"""FakeProducer stands in for the real one: its script comes true, by the rules of the real one, under the SDKs too."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, OpenAI, RateLimitError

from sluicegate import (
    BacklogFull,
    DeadlineExceeded,
    InvalidRequest,
    ReplyTimeout,
    RequestCancelled,
    RequestDead,
    StoreUnavailable,
    StreamBroken,
    Ticket,
    UnknownRequest,
    WouldMissDeadline,
)
from sluicegate.testing import Asked, FakeAnswer, FakeProducer, FakeStream
from sluicegate.transport import AsyncQueueTransport, QueueTransport
from support.pools import chat
from support.served_pool import PATH
from support.streaming import DONE, chat_event
from support.waiting import wait_until

COMPLETION = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
}  # fmt: skip


async def test_the_script_comes_true_in_its_order() -> None:
    fake = FakeProducer(agent="ann")
    fake.script(
        FakeAnswer(body={"n": 1, "usage": {"prompt_tokens": 3}}),
        BacklogFull("full", 2.0),
        RequestDead("", "attempts", 500, "broken"),
        lambda asked: FakeAnswer(status=404, body=asked.body),
    )
    async with fake as producer:
        first = await producer.request(PATH, chat("one"), key="k")
        assert (first.status, first.json()["n"], first.usage, first.agent) == (200, 1, {"prompt_tokens": 3}, "ann")
        with pytest.raises(BacklogFull) as full:
            await producer.request(PATH, chat())
        assert full.value.retry_after_s == 2.0
        with pytest.raises(RequestDead, match="broken") as dead:
            await producer.request(PATH, chat())
        assert (dead.value.reason, dead.value.status) == ("attempts", 500)
        echoed = await producer.request(PATH, chat("four"))
        assert (echoed.status, echoed.json()) == (404, chat("four"))
        assert (await producer.request(PATH, chat())).json() == {}
    assert (fake.asked[0].body, fake.asked[0].options) == (chat("one"), {"key": "k"})
    assert len(fake.asked) == 5


async def test_it_refuses_what_the_real_one_refuses() -> None:
    async with FakeProducer() as producer:
        for path, body, options in [
            ("/nowhere", {}, {}), (PATH, b"no json", {}), (PATH, {}, {"priority": "high"}), (PATH, {}, {"id": "a b"}),
            ("/v1/files", {}, {}),
        ]:  # fmt: skip
            with pytest.raises(InvalidRequest):
                await producer.submit(path, body, **options)  # type: ignore[arg-type]
    assert producer.asked == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: StreamBroken("x"), "use FakeStream"),
        (lambda: UnknownRequest("x"), "cannot become of a request"),
        (lambda: FakeAnswer(body=object()), "cannot be written as JSON"),
        (lambda: FakeAnswer(status=429), "nobody gets a reply with status 429"),
        (lambda: FakeAnswer(status=500), "nobody gets a reply with status 500"),
        (lambda: FakeStream(chunks=["data: x"]), "chunks are a list of bytes"),  # type: ignore[list-item]
        (lambda: None, "say FakeAnswer or FakeStream"),
    ],
)
async def test_a_script_that_cannot_come_true_is_refused_when_it_is_written(
    make: Callable[[], Any], words: str
) -> None:
    fake = FakeProducer()
    with pytest.raises(InvalidRequest, match=words):
        fake.script(make())
    fake.script(lambda _: make())
    async with fake as producer, asyncio.timeout(5):
        with pytest.raises(InvalidRequest, match=words):
            await producer.request(PATH, chat())


async def test_it_is_open_and_closed_as_the_real_one() -> None:
    fake = FakeProducer()
    with pytest.raises(InvalidRequest, match="not open"):
        await fake.submit(PATH, chat())
    async with fake as producer:
        assert (await producer.request(PATH, chat())).status == 200
    with pytest.raises(StoreUnavailable, match="closed"):
        await fake.submit(PATH, chat())


async def test_what_comes_later_comes_later_and_what_would_be_too_late_is_refused() -> None:
    async with FakeProducer() as producer:
        with pytest.raises(WouldMissDeadline) as late:
            await producer.submit(PATH, chat(), not_before=5, deadline=1)
        assert (late.value.eta_s, late.value.retry_after_s, producer.asked) == (5.0, 4.0, [])
        ticket = await producer.submit(PATH, chat(), not_before=200)
        with pytest.raises(ReplyTimeout):
            await ticket.reply(0.01)
        with pytest.raises(InvalidRequest, match="not JSON"):
            producer.stream(PATH, b"{bad")


async def test_streams_of_one_request_all_come_whole() -> None:
    fake = FakeProducer()
    fake.script(FakeStream(chunks=[b"a", b"b"], pause_s=0.01))
    async with fake as producer:
        streams = [producer.stream(PATH, chat(), key="k") for _ in range(2)]
        assert [b"".join([chunk async for chunk in stream]) for stream in streams] == [b"ab"] * 2


async def test_ids_and_keys_join() -> None:
    async with FakeProducer() as producer:
        one, two = [await producer.submit(PATH, chat(), key="k") for _ in range(2)]
        again = await producer.submit(PATH, chat(), id=one.id)
        assert one.id == two.id == again.id
        with pytest.raises(InvalidRequest, match="used before"):
            await producer.submit(PATH, chat("other"), key="k")
        assert await producer.result(one.id, timeout=5) == await two.reply()
        with pytest.raises(UnknownRequest):
            await producer.result("nobody")
    assert len(producer.asked) == 1


async def test_delays_deadlines_and_cancelling() -> None:
    fake = FakeProducer()
    fake.always(FakeAnswer(delay_s=3600))
    async with fake as producer:
        with pytest.raises(DeadlineExceeded):
            await producer.request(PATH, chat(), deadline=0.01)
        ticket = await producer.submit(PATH, chat())
        with pytest.raises(ReplyTimeout):
            await ticket.reply(0.01)
        assert (await ticket.cancel(), await producer.cancel(ticket.id)) == ("cancelled", "cancelled")
        with pytest.raises(RequestCancelled):
            await ticket.reply()
        task = asyncio.create_task(producer.request(PATH, chat(), id="r1"))
        await wait_until(lambda: fake.asked[-1].id == "r1", "it was submitted")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        last = await producer.submit(PATH, chat())
    with pytest.raises(RequestCancelled):
        await Ticket("r1", 0, 0.0, fake._requests["r1"].waiter, fake.cancel).reply()  # noqa: SLF001
    with pytest.raises(StoreUnavailable, match="closed"):
        await last.reply()


async def test_streams_come_piece_by_piece_and_may_break_off() -> None:
    fake = FakeProducer()
    fake.script(
        FakeStream(chunks=[b"a", b"b"], pause_s=0.01),
        FakeStream(chunks=[b"a"], breaks_off=True),
        FakeAnswer(status=404, body=b"no"),
    )
    async with fake as producer:
        stream = producer.stream(PATH, chat())
        assert [chunk async for chunk in stream] == [b"a", b"b"]
        assert stream.headers == {"content-type": "text/event-stream"}
        broken = producer.stream(PATH, chat())
        assert await broken.read() == b"a"
        with pytest.raises(StreamBroken):
            await broken.read()
        async with producer.stream(PATH, chat()) as refused:
            assert (refused.status, [chunk async for chunk in refused]) == (404, [b"no"])


async def test_many_at_once() -> None:
    async with FakeProducer() as producer:
        requests: list[Any] = [{"path": PATH, "body": chat()}, {"path": "/nowhere", "body": {}}]
        requests += [{"path": PATH}, {"path": PATH, "body": {}, "sooner": 1}, None]
        first, second, *wrong = await producer.submit_many(requests, progress=lambda done, total: done / (total - 5))
        assert isinstance(first, Ticket)
        assert isinstance(second, InvalidRequest)
        for number, error in enumerate(wrong, 3):
            assert isinstance(error, InvalidRequest)
            assert str(error).startswith(f"request {number} must be a mapping with path and body")
        assert [ticket.id async for ticket in producer.as_completed([first], timeout=5)] == [first.id]


async def test_it_works_under_the_sdks() -> None:
    fake = FakeProducer()

    def decide(asked: Asked) -> FakeAnswer | FakeStream:
        if asked.body.get("stream"):
            return FakeStream(chunks=[chat_event("a"), chat_event("b"), DONE])
        return FakeAnswer(body=COMPLETION)

    fake.script(BacklogFull("full", 7.0))
    fake.always(decide)
    messages: Any = [{"role": "user", "content": "hi"}]
    async with fake as producer:
        http = httpx2.AsyncClient(transport=AsyncQueueTransport(producer))
        async with AsyncOpenAI(api_key="k", http_client=http, max_retries=0) as client:
            with pytest.raises(RateLimitError) as full:
                await client.chat.completions.create(model="m", messages=messages)
            assert full.value.response.headers["retry-after"] == "7"
            said = await client.chat.completions.create(model="m", messages=messages)
            assert said.choices[0].message.content == "hi"
            stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
            assert [chunk.choices[0].delta.content async for chunk in stream] == ["a", "b"]


async def test_it_works_under_another_dialect_and_without_an_event_loop() -> None:
    fake = FakeProducer(provider="anthropic")
    fake.always(FakeAnswer(body={"input_tokens": 5}))
    async with fake as producer:
        http = httpx2.AsyncClient(transport=AsyncQueueTransport(producer))
        async with AsyncAnthropic(api_key="k", http_client=http, max_retries=0) as client:
            counted = await client.messages.count_tokens(model="m", messages=[{"role": "user", "content": "hi"}])
            assert counted.input_tokens == 5
    blocking = FakeProducer()
    blocking.always(FakeAnswer(body=COMPLETION))

    def ask() -> str | None:
        with blocking.blocking() as one:
            assert one.request(PATH, chat()).status == 200
            client = OpenAI(api_key="k", http_client=httpx2.Client(transport=QueueTransport(one)), max_retries=0)
            said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
            return said.choices[0].message.content

    assert await asyncio.to_thread(ask) == "hi"
