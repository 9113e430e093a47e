"""Streams whose readers leave, die or stall, and whose dispatchers die: nobody pays on, and Redis does not fill up."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestCancelled, StreamBroken
from sluicegate.estimate import read_peek
from sluicegate.submission import encode_body
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.children import spawn, stop
from support import streaming_producer
from support.fleet import Fleet, list_held
from support.pools import chat, make_settings
from support.processes import write_settings
from support.restarting import RestartingServer
from support.served_pool import PATH
from support.stored import send
from support.streaming import Streamed, chat_event
from support.upstream import Upstream
from support.waiting import wait_until

BODY = b'{"model":"small","messages":[{"role":"user","content":"say something"}],"stream":true}'
EVENT = chat_event("12345678")  # two tokens
LEFT_WITHIN_S, KILLED_WITHIN_S = 2.0, 15.0  # what is promised
UNREAD_MOST = 128


@contextmanager
def start_reader(out: Path, redis_url: str, request_id: str) -> Iterator[subprocess.Popen[bytes]]:
    with out.open("wb") as file:
        process = spawn([sys.executable, streaming_producer.__file__, redis_url, request_id], stdout=file)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        stop(process)


async def count_tokens(client: Redis) -> int:
    """What the pool's upstream was charged of late."""
    fields: dict[bytes, bytes] = await send(client, "HGETALL", "sg:{chat}:upstream:a")
    return sum(int(cell.split()[3]) for name, cell in fields.items() if name.startswith(b"cell:"))


@pytest.fixture
def streamed(upstream: Upstream) -> Streamed:
    told = Streamed()
    upstream.next_up.append(told)
    return told


@pytest.mark.usefixtures("at_rest")
@pytest.mark.parametrize("events", [1, 25])
async def test_who_leaves_ends_the_call_soon_and_pays_for_what_was_sent(
    client: Redis, dispatcher: Dispatcher, producer: AsyncProducer, streamed: Streamed, events: int
) -> None:
    stream = producer.stream(PATH, BODY)
    for _ in range(events):
        streamed.send(EVENT)
        assert await stream.read() == EVENT
    await stream.aclose()
    async with asyncio.timeout(LEFT_WITHIN_S):
        await streamed.left.wait()
    await wait_until(lambda: dispatcher.in_flight == 0, "the call has ended")
    assert await count_tokens(client) == read_peek(BODY, PATH).tokens_in + 2 * events


@pytest.mark.usefixtures("at_rest")
async def test_what_the_provider_has_counted_goes_before_what_was_counted_here(
    client: Redis, dispatcher: Dispatcher, producer: AsyncProducer, streamed: Streamed
) -> None:
    told = b'data: {"message":{"usage":{"input_tokens":40,"output_tokens":1}}}\n\n'
    stream = producer.stream(PATH, BODY)
    streamed.send(told + EVENT)
    assert await stream.read() == told + EVENT
    await stream.aclose()
    await wait_until(lambda: dispatcher.in_flight == 0, "the call has ended")
    assert await count_tokens(client) == 40 + 2


@pytest.mark.usefixtures("at_rest")
async def test_a_killed_producer_ends_its_calls(
    redis_url: str, client: Redis, dispatcher: Dispatcher, producer: AsyncProducer, streamed: Streamed, tmp_path: Path
) -> None:
    with start_reader(tmp_path / "out", redis_url, "r1") as reader:
        streamed.send(EVENT)
        await wait_until((tmp_path / "out").read_text, "it reads")
        reader.kill()
        async with asyncio.timeout(KILLED_WITHIN_S):
            await streamed.left.wait()
    with pytest.raises(RequestCancelled):
        await producer.result("r1", timeout=20)
    await wait_until(lambda: dispatcher.in_flight == 0, "the call has ended")
    assert await count_tokens(client) == read_peek(encode_body(streaming_producer.BODY), PATH).tokens_in + 2


@pytest.mark.usefixtures("at_rest")
async def test_a_reader_that_stalls_does_not_fill_redis_and_gets_everything_afterwards(
    redis_url: str, client: Redis, dispatcher: Dispatcher, streamed: Streamed, tmp_path: Path
) -> None:
    piece = b"x" * 60_000
    with start_reader(tmp_path / "out", redis_url, "r1") as reader:
        streamed.send(piece)
        await wait_until((tmp_path / "out").read_text, "it reads")
        reader.send_signal(signal.SIGSTOP)
        [inbox] = [key async for key in client.scan_iter("sg:{chat}:inbox:*")]
        for _ in range(200):
            streamed.send(piece)

        async def is_full() -> bool:
            return bool(await client.xlen(inbox) >= UNREAD_MOST)

        await wait_until(is_full, "its inbox is full")
        assert await client.xlen(inbox) == UNREAD_MOST
        streamed.end()
        reader.send_signal(signal.SIGCONT)
        whole = f"whole {201 * len(piece)}"
        await wait_until(lambda: whole in (tmp_path / "out").read_text(), "it has everything")


@pytest.fixture
async def fleet(tmp_path: Path, client: Redis, redis_url: str, upstream: Upstream) -> AsyncIterator[Fleet]:
    file = write_settings(redis_url, upstream.base_url, "rpm = 60000", rules=["lease_s = 1"])
    async with Fleet(tmp_path, client, file) as started:
        yield started


async def test_a_stream_whose_dispatcher_dies_breaks_off(
    client: Redis, fleet: Fleet, producer: AsyncProducer, streamed: Streamed, upstream: Upstream
) -> None:
    again = Streamed()
    upstream.next_up.append(again)
    again.send(b"anew")
    await fleet.start(2)
    stream = producer.stream(PATH, chat())
    streamed.send(EVENT)
    assert await stream.read() == EVENT
    [holder] = [one for one in fleet.running if await list_held(client, one)]
    assert await fleet.kill(holder) == [stream.id]
    with pytest.raises(StreamBroken, match="its dispatcher was lost"):
        await stream.read()
    await stream.aclose()
    async with asyncio.timeout(20):
        await again.left.wait()
    with pytest.raises(RequestCancelled):
        await producer.result(stream.id, timeout=20)


async def test_a_server_that_is_away_for_a_moment_breaks_no_stream(
    own_server: RestartingServer, upstream: Upstream, streamed: Streamed
) -> None:
    async with (
        Dispatcher(make_settings(own_server.url, upstream.base_url)),
        AsyncProducer(own_server.url, pool="chat", agent="ann") as producer,
    ):
        stream = producer.stream(PATH, BODY)
        streamed.send(b"one")
        assert await stream.read() == b"one"
        own_server.kill()
        streamed.send(b"two")
        own_server.start()
        assert await stream.read() == b"two"
        streamed.send(b"three")
        streamed.end()
        assert b"".join([chunk async for chunk in stream]) == b"three"
