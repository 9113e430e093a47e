"""Answers that come while the provider makes them: as it sent them, at once, and no longer than somebody listens."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from sluicegate import (
    AsyncProducer,
    DeadlineExceeded,
    InvalidRequest,
    ReplyStream,
    RequestCancelled,
    RequestDead,
    SluicegateError,
    StoreUnavailable,
    StreamBroken,
)
from sluicegate_worker import Dispatcher
from support.pools import chat, make_settings
from support.served_pool import PATH, POOL, apply_settings
from support.streaming import DONE, USAGE, Streamed, chat_event
from support.upstream import Upstream, answer
from support.waiting import let_others_run, make_alarm, wait_until

pytestmark = pytest.mark.usefixtures("at_rest")
BODY = {**chat(), "stream": True}


@pytest.fixture
def streamed(upstream: Upstream) -> Streamed:
    """What the upstream answers with, once."""
    told = Streamed()
    upstream.next_up.append(told)
    return told


async def next_of(chunks: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(20):
        return await anext(chunks)


async def test_each_piece_comes_while_the_next_is_not_sent(
    dispatcher: Dispatcher, streamed: Streamed, producer: AsyncProducer
) -> None:
    stream = producer.stream(PATH, BODY)
    chunks = aiter(stream)
    for piece in (chat_event("Hello"), b"not", chat_event(" there") + chat_event("!")):
        streamed.send(piece)
        assert await next_of(chunks) == piece
    assert (stream.status, stream.headers) == (200, {"content-type": "text/event-stream"})
    streamed.send(USAGE + DONE)
    streamed.end()
    rest = b"".join([chunk async for chunk in chunks])
    assert rest == USAGE + DONE
    assert stream.reply is not None
    assert stream.reply.body == chat_event("Hello") + b"not" + chat_event(" there") + chat_event("!") + USAGE + DONE
    assert stream.reply.usage == {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    assert await producer.result(stream.id) == stream.reply


async def test_head_and_status_are_there_before_the_first_byte_is_taken(
    dispatcher: Dispatcher, streamed: Streamed, producer: AsyncProducer
) -> None:
    streamed.send(chat_event("a"))
    async with producer.stream(PATH, BODY) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        streamed.end()
        assert [chunk async for chunk in stream] == [chat_event("a")]


@pytest.mark.parametrize("size", [0, 16_383, 16_384, 1_500_000])
async def test_an_answer_of_any_size_comes_whole(
    dispatcher: Dispatcher, streamed: Streamed, producer: AsyncProducer, size: int
) -> None:
    body = bytes(number % 251 for number in range(size))
    if body:
        streamed.send(body)
    streamed.end()
    assert b"".join([chunk async for chunk in producer.stream(PATH, BODY)]) == body


async def test_what_is_not_streamed_comes_as_a_whole(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    for status in (200, 404):
        upstream.behaviour = answer(status, b'{"whole":true}')
        async with producer.stream(PATH, BODY) as stream:
            assert stream.status == status
            assert [chunk async for chunk in stream] == [b'{"whole":true}']


async def test_a_stream_that_breaks_before_its_first_byte_is_tried_again(
    dispatcher: Dispatcher, upstream: Upstream, streamed: Streamed, producer: AsyncProducer
) -> None:
    upstream.behaviour = answer(body=b"second")
    streamed.cut()
    async with producer.stream(PATH, BODY) as stream:
        assert [chunk async for chunk in stream] == [b"second"]
        assert stream.reply is not None
        assert stream.reply.attempts == 2


async def test_a_stream_that_breaks_after_its_first_byte_is_an_error_and_not_tried_again(
    dispatcher: Dispatcher, upstream: Upstream, streamed: Streamed, producer: AsyncProducer
) -> None:
    stream = producer.stream(PATH, BODY)
    chunks = aiter(stream)
    streamed.send(b"first")
    assert await next_of(chunks) == b"first"
    streamed.cut()
    with pytest.raises(StreamBroken, match="broke off"):
        await next_of(chunks)
    with pytest.raises(RequestDead, match="upstream_error"):
        await producer.result(stream.id, timeout=20)
    assert len(upstream.arrivals) == 1


async def test_a_stream_may_last_as_long_as_something_comes(
    redis_url: str, upstream: Upstream, streamed: Streamed, producer: AsyncProducer
) -> None:
    async with Dispatcher(make_settings(redis_url, upstream.base_url, upstream={"timeout_s": 1})):
        stream = producer.stream(PATH, BODY)
        longer = make_alarm(1.5)
        while not longer():
            streamed.send(b"on")
            assert await stream.read() == b"on"
            await wait_until(make_alarm(0.1), "a while has passed")
        streamed.end()
        assert await stream.read() == b""


@pytest.mark.parametrize("events", [0, 1])
async def test_a_stream_that_falls_silent_is_given_up(
    redis_url: str, upstream: Upstream, streamed: Streamed, producer: AsyncProducer, events: int
) -> None:
    upstream.behaviour = answer(body=b"second")
    async with Dispatcher(make_settings(redis_url, upstream.base_url, upstream={"timeout_s": 0.3})):
        stream = producer.stream(PATH, BODY)
        if events:
            streamed.send(b"first")
            assert await stream.read() == b"first"
            with pytest.raises(StreamBroken, match=r"no answer within 0\.3 s"):
                await stream.read()
        else:  # before its first byte it is tried again
            assert await stream.read() == b"second"
        await stream.aclose()


async def test_a_stream_ends_at_its_deadline(
    dispatcher: Dispatcher, streamed: Streamed, producer: AsyncProducer
) -> None:
    stream = producer.stream(PATH, BODY, deadline=0.5)
    streamed.send(b"one")
    assert await stream.read() == b"one"
    with pytest.raises(DeadlineExceeded, match="cut at its deadline"):
        await stream.read()
    await stream.aclose()


async def test_who_leaves_ends_the_call(dispatcher: Dispatcher, streamed: Streamed, producer: AsyncProducer) -> None:
    stream = producer.stream(PATH, BODY)
    streamed.send(chat_event("a"))
    async for _ in stream:
        break
    async with asyncio.timeout(20):
        await streamed.left.wait()
    with pytest.raises(RequestCancelled):
        await producer.result(stream.id)
    await wait_until(lambda: dispatcher.in_flight == 0, "the call has ended")


async def test_who_is_cancelled_before_the_first_byte_ends_the_call(
    dispatcher: Dispatcher, streamed: Streamed, producer: AsyncProducer
) -> None:
    async def read(stream: ReplyStream) -> None:
        async for _ in stream:
            pass

    task = asyncio.create_task(read(producer.stream(PATH, BODY, id="r1")))
    await streamed.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20):
        await streamed.left.wait()
    with pytest.raises(RequestCancelled):
        await producer.result("r1")


async def test_what_is_refused_is_refused_at_the_first_step(dispatcher: Dispatcher, producer: AsyncProducer) -> None:
    stream = producer.stream("/nowhere", BODY)
    with pytest.raises(InvalidRequest, match="not a path"):
        await stream.start()
    with pytest.raises(SluicegateError, match="the stream has not begun"):
        assert stream.status


async def test_who_closes_the_producer_ends_its_streams(
    redis_url: str, dispatcher: Dispatcher, streamed: Streamed, producer: AsyncProducer
) -> None:
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as closing:
        stream = closing.stream(PATH, BODY, id="r1")
        streamed.send(b"one")
        assert await stream.read() == b"one"
    with pytest.raises(StoreUnavailable, match="before request r1 was answered; its stream is cancelled"):
        await stream.read()
    async with asyncio.timeout(20):
        await streamed.left.wait()
    with pytest.raises(RequestCancelled):
        await producer.result("r1", timeout=20)


async def test_who_joins_gets_the_answer_as_a_whole(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, streamed: Streamed, producer: AsyncProducer
) -> None:
    chunks = aiter(producer.stream(PATH, BODY, id="r1"))
    streamed.send(b"one")
    assert await next_of(chunks) == b"one"
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as other:
        joined = [asyncio.create_task(collect(who.stream(PATH, BODY, id="r1"))) for who in (producer, other)]
        await let_others_run(20)
        streamed.send(b"two")
        streamed.end()
        assert b"".join([chunk async for chunk in chunks]) == b"two"
        assert await asyncio.gather(*joined) == [b"onetwo"] * 2
    assert len(upstream.arrivals) == 1


async def collect(stream: ReplyStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def test_many_streams_at_once_stay_apart(redis_url: str, upstream: Upstream, producer: AsyncProducer) -> None:
    told = [Streamed() for _ in range(100)]
    upstream.next_up.extend(told)
    async with Dispatcher(make_settings(redis_url, upstream.base_url, upstream={"rpm": 60_000})):
        tasks = [asyncio.create_task(collect(producer.stream(PATH, chat(str(n)), agent=f"a{n}"))) for n in range(100)]
        await wait_until(lambda: len(upstream.arrivals) == 100, "all calls arrived")
        for step in range(20):
            for number, one in enumerate(told):
                one.send(b"%d:%d;" % (number, step))
            await let_others_run(3)
        for one in told:
            one.end()
        answers = await asyncio.gather(*tasks)
    wanted = {b"".join(b"%d:%d;" % (number, step) for step in range(20)) for number in range(100)}
    assert set(answers) == wanted


async def test_nobody_calls_for_a_producer_that_is_gone(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
    task = asyncio.create_task(collect(producer.stream(PATH, BODY, id="r1")))
    await wait_until(lambda: client.exists("sg:{chat}:request:r1"), "it was accepted")
    [alive] = [key async for key in client.scan_iter("sg:{chat}:alive:*")]
    await client.delete(alive)
    async with Dispatcher(settings):
        with pytest.raises(RequestCancelled):
            await task
    assert upstream.arrivals == []


async def test_who_reads_streams_goes_on_saying_that_it_lives(
    client: Redis, dispatcher: Dispatcher, streamed: Streamed, producer: AsyncProducer
) -> None:
    stream = producer.stream(PATH, BODY)
    streamed.send(b"one")
    assert await stream.read() == b"one"
    [alive] = [key async for key in client.scan_iter("sg:{chat}:alive:*")]

    async def lives_ms() -> int:
        return int(await client.pttl(alive))

    async def is_said_again() -> bool:
        return await lives_ms() > 9_000

    async def is_older() -> bool:
        return await lives_ms() < 8_500

    await wait_until(is_older, "it was said a while ago")
    await wait_until(is_said_again, "it is said again")
    streamed.end()
    assert [chunk async for chunk in stream] == []
