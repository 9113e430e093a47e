"""Producer for code without an event loop: the same behaviour, in threads and after a fork."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sluicegate import (
    BlockingTicket,
    InvalidRequest,
    Producer,
    ReplyTimeout,
    RequestCancelled,
    StoreUnavailable,
    UnknownRequest,
)
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.embedded import find_free_port
from support.pools import chat
from support.served_pool import PATH, POOL
from support.streaming import Streamed
from support.upstream import Upstream, answer, echo, once
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")


@pytest.fixture
async def blocking(redis_url: str, dispatcher: Dispatcher) -> AsyncIterator[Producer]:
    producer = Producer(redis_url, pool=POOL, agent="ann")
    await asyncio.to_thread(producer.__enter__)
    yield producer
    await asyncio.to_thread(producer.__exit__, None, None, None)


async def test_a_request_waits_for_its_reply(blocking: Producer, upstream: Upstream) -> None:
    upstream.behaviour = echo
    reply = await asyncio.to_thread(blocking.request, PATH, chat("hello"))
    assert reply.json() == chat("hello")
    assert await asyncio.to_thread(blocking.result, reply.id) == reply


async def test_a_ticket_can_be_waited_for_and_cancelled(blocking: Producer, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    first, second = [await asyncio.to_thread(blocking.submit, PATH, chat()) for _ in range(2)]
    assert repr(first).startswith(f"Ticket(id='{first.id}', position=")
    with pytest.raises(ReplyTimeout, match="it lives on"):
        await asyncio.to_thread(first.reply, 0.01)
    assert await asyncio.to_thread(second.cancel) == "cancelled"
    with pytest.raises(RequestCancelled):
        await asyncio.to_thread(second.reply)
    gate.set()
    assert (await asyncio.to_thread(first.reply)).status == 200
    again = await asyncio.to_thread(blocking.ticket, first.id)
    assert (await asyncio.to_thread(again.reply)).status == 200
    assert await asyncio.to_thread(blocking.cancel, first.id) == "ok"
    with pytest.raises(UnknownRequest):
        await asyncio.to_thread(blocking.cancel, "nobody")


async def test_threads_share_one(blocking: Producer, upstream: Upstream) -> None:
    upstream.behaviour = echo

    def ask(number: int) -> object:
        return blocking.request(PATH, chat(str(number)), agent=f"a{number % 7}").json()

    with ThreadPoolExecutor(20) as threads:
        loop = asyncio.get_running_loop()
        answers = await asyncio.gather(*(loop.run_in_executor(threads, ask, number) for number in range(200)))
    assert answers == [chat(str(number)) for number in range(200)]


async def test_many_are_handed_in_together_and_come_as_they_end(blocking: Producer, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.next_up.append(once(gate, answer()))
    seen: list[tuple[int, int]] = []
    first = await asyncio.to_thread(blocking.submit, PATH, chat("slow"))
    await wait_until(lambda: upstream.arrivals, "the slow one is under way")
    requests = [{"path": PATH, "body": chat(str(number))} for number in range(20)]
    requests.insert(7, {"path": "/nowhere", "body": {}})

    def collect() -> list[str]:
        found = blocking.submit_many(requests, progress=lambda done, total: seen.append((done, total)))
        assert isinstance(found[7], InvalidRequest)
        tickets = [one for one in found if isinstance(one, BlockingTicket)]
        assert len(tickets) == 20
        ended = []
        for ticket in blocking.as_completed([first, *tickets], timeout=20):
            assert ticket.reply(timeout=0).status == 200
            ended.append(ticket.id)
            if len(ended) == 20:
                loop.call_soon_threadsafe(gate.set)
        assert sorted(ended) == sorted(ticket.id for ticket in (first, *tickets))
        return ended

    loop = asyncio.get_running_loop()
    assert (await asyncio.to_thread(collect))[-1] == first.id
    assert seen == [(done, 21) for done in range(1, 22)]


async def test_who_waits_for_many_has_a_time_out(blocking: Producer, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    ticket = await asyncio.to_thread(blocking.submit, PATH, chat())
    with pytest.raises(ReplyTimeout, match="1 requests were not answered in time; they live on"):
        await asyncio.to_thread(lambda: list(blocking.as_completed([ticket], timeout=0.01)))
    gate.set()
    assert [one.id for one in await asyncio.to_thread(lambda: list(blocking.as_completed([ticket])))] == [ticket.id]


async def test_a_stream_is_read_piece_by_piece(blocking: Producer, upstream: Upstream) -> None:
    told = Streamed()
    upstream.next_up.append(told)
    stream = blocking.stream(PATH, {**chat(), "stream": True})
    told.send(b"one")
    assert await asyncio.to_thread(stream.read) == b"one"
    assert (stream.status, stream.headers) == (200, {"content-type": "text/event-stream"})
    told.send(b"two")
    told.end()
    assert await asyncio.to_thread(lambda: b"".join(stream)) == b"two"
    assert stream.reply is not None
    assert stream.reply.body == b"onetwo"


async def test_who_leaves_a_stream_ends_the_call(blocking: Producer, upstream: Upstream) -> None:
    told = Streamed()
    upstream.next_up.append(told)
    told.send(b"one")

    def take_one() -> bytes:
        for chunk in blocking.stream(PATH, {**chat(), "stream": True}):
            return chunk
        return b""

    assert await asyncio.to_thread(take_one) == b"one"
    async with asyncio.timeout(20):
        await told.left.wait()


async def test_a_stream_that_the_garbage_collector_finds_is_cancelled_in_any_thread(
    blocking: Producer, upstream: Upstream
) -> None:
    told = Streamed()
    upstream.next_up.append(told)
    told.send(b"one")

    def drop_in_a_circle() -> None:
        circle: list[object] = []
        chunks = iter(blocking.stream(PATH, chat()))
        assert next(chunks) == b"one"
        circle += [circle, chunks]

    def collect(done: int, total: int) -> None:
        gc.collect()

    def ask() -> None:
        gc.disable()
        try:
            drop_in_a_circle()
            blocking.submit_many([{"path": PATH, "body": chat(), "id": "r1"}], progress=collect)
        finally:
            gc.enable()

    await asyncio.to_thread(ask)
    async with asyncio.timeout(5):
        await told.left.wait()
    await asyncio.to_thread(blocking.result, "r1", 20)


async def test_what_outlives_its_producer_says_so(redis_url: str, dispatcher: Dispatcher, upstream: Upstream) -> None:
    told = Streamed()
    upstream.next_up.append(told)
    told.send(b"one")

    def ask() -> None:
        with Producer(redis_url, pool=POOL, agent="ann") as producer:
            stream = producer.stream(PATH, chat())
            chunks = iter(stream)
            assert next(chunks) == b"one"
        for use in (lambda: next(chunks), stream.read, lambda: producer.request(PATH, chat())):
            with pytest.raises(StoreUnavailable, match="the producer is closed"):
                use()
        stream.close()

    await asyncio.to_thread(ask)
    async with asyncio.timeout(20):
        await told.left.wait()


@pytest.mark.timeout(20)
async def test_a_call_from_its_own_thread_is_refused_instead_of_waiting_for_ever(blocking: Producer) -> None:
    refused: list[Exception] = []

    def progress(done: int, total: int) -> None:
        try:
            blocking.request(PATH, chat())
        except InvalidRequest as error:
            refused.append(error)

    await asyncio.to_thread(blocking.submit_many, [{"path": PATH, "body": chat(), "id": "r1"}], progress=progress)
    assert "hand the work to another thread" in str(refused[0])
    await asyncio.to_thread(blocking.result, "r1", 20)


async def test_what_is_not_open_or_cannot_be_opened_is_said(redis_url: str, dispatcher: Dispatcher) -> None:
    closed = Producer(redis_url, pool=POOL, agent="ann")
    with pytest.raises(InvalidRequest, match="use the producer inside `with`"):
        closed.request(PATH, chat())
    with pytest.raises(InvalidRequest, match="pool"):
        Producer(redis_url, pool="no such name")
    nowhere = Producer(f"redis://127.0.0.1:{find_free_port()}/0", pool=POOL)
    threads = threading.active_count()
    with pytest.raises(StoreUnavailable, match="is it running"):
        nowhere.__enter__()
    assert threading.active_count() == threads
