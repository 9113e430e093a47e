"""Processes with a synchronous Producer that fork or are interrupted: each goes on, or ends, with what is its own."""

import asyncio
import signal
import sys

import pytest

from sluicegate import AsyncProducer, ReplyTimeout
from sluicegate_worker import Dispatcher
from support.streaming import Streamed
from support.upstream import Upstream, hang
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")

FORKING = """
import os, sys
from sluicegate import Producer
url, body = sys.argv[1], {"model": "m", "messages": []}
with Producer(url, pool="chat", agent="ann") as producer:
    before = producer.submit("/chat/completions", body)
    child = os.fork()
    replies = [producer.request("/chat/completions", body).status for _ in range(5)]
    replies.append(before.reply(timeout=20).status)
    if child == 0:
        sys.stdout.write(f"child {replies}\\n")
        sys.stdout.flush()
    else:
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"parent {replies} {status}\\n")
"""


FORKED_AMID = """
import os, sys
from sluicegate import InvalidRequest, Producer
url, body = sys.argv[1], {"model": "m", "messages": [], "stream": True}
with Producer(url, pool="chat", agent="ann") as producer:
    streams = [producer.stream("/chat/completions", body) for _ in range(3)]
    assert [stream.read() for stream in streams] == [b"one"] * 3
    tickets = [producer.submit("/chat/completions", body) for _ in range(2)]
    completed = producer.as_completed(tickets)
    assert next(completed).id in [ticket.id for ticket in tickets]
    child = os.fork()
    if child == 0:
        streams[0].close()
        try:
            streams[1].read()
        except InvalidRequest as error:
            sys.stdout.write(f"{error}\\n")
        del streams, completed
        ended = [ticket.reply(0).status for ticket in producer.as_completed(tickets, timeout=20)]
        sys.stdout.write(f"{ended}\\n")
    else:
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"parent {status} {[b''.join(stream) for stream in streams]}\\n")
    sys.stdout.flush()
"""

INTERRUPTED = """
import signal, sys
from sluicegate import Producer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has its children ignore it
url, body = sys.argv[1], {"model": "m", "messages": [], "stream": True}
with Producer(url, pool="chat", agent="ann") as producer:
    try:
        if sys.argv[2] == "request":
            producer.request("/chat/completions", body, id="r1")
        elif sys.argv[2] == "stream":
            list(producer.stream("/chat/completions", body, id="r1"))
        else:
            list(producer.as_completed([producer.submit("/chat/completions", body, id="r1")]))
    except KeyboardInterrupt:
        sys.stdout.write("interrupted")
"""


async def test_the_child_of_a_fork_has_a_producer_of_its_own(redis_url: str, dispatcher: Dispatcher) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error::ResourceWarning", "-c", FORKING, redis_url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    assert errors.decode() == ""
    assert out.decode().splitlines() == [f"child {[200] * 6}", f"parent {[200] * 6} 0"]


async def test_a_fork_in_the_middle_of_something_leaves_it_to_the_parent(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream
) -> None:
    told = [Streamed() for _ in range(3)]
    upstream.next_up.extend(told)
    for one in told:
        one.send(b"one")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FORKED_AMID, redis_url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said: list[str] = []
    async with asyncio.timeout(50):
        assert process.stdout is not None
        said += [(await process.stdout.readline()).decode().strip() for _ in range(2)]
        for one in told:
            one.send(b"two")
            one.end()
        out, errors = await process.communicate()
    assert errors.decode() == ""
    assert [*said, out.decode().strip()] == [
        "this belongs to the process that forked: begin it anew in the child",
        "[200, 200]",
        f"parent 0 {[b'two'] * 3}",
    ]


@pytest.mark.parametrize(("how", "state"), [("request", "cancelled"), ("stream", "cancelled"), ("many", "in_flight")])
async def test_who_is_interrupted_ends_what_he_waited_for(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer, how: str, state: str
) -> None:
    upstream.behaviour = hang
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        INTERRUPTED,
        redis_url,
        how,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await wait_until(lambda: upstream.arrivals, "the call arrived")
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        assert await process.communicate() == (b"interrupted", b"")
    if state == "in_flight":  # it was submitted, and lives on
        with pytest.raises(ReplyTimeout, match="it is in_flight"):
            await producer.result("r1")
    assert await producer.cancel("r1") == "cancelled"
    await wait_until(lambda: dispatcher.in_flight == 0, "the call has ended")
