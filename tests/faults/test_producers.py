"""Producers that die while they wait, and crowds that ask for the same: every answer is found, and paid for once."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sluicegate import AsyncProducer
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.children import spawn, stop
from support import producing
from support.commands import CommandLine
from support.fleet import assert_paid_once
from support.served_pool import PATH, POOL
from support.upstream import Upstream, answer, echo, once
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")


class ProducerProcess:
    """`said` is what it printed, line by line: first the ids of what it submitted, then the answers."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path) -> None:
        self.process, self._out = process, out

    @property
    def said(self) -> list[str]:
        return self._out.read_text().splitlines()

    @property
    def ids(self) -> list[str]:
        ids: list[str] = json.loads(self.said[0])
        return ids


@contextmanager
def start_producer(out: Path, redis_url: str, count: int, *key: str) -> Iterator[ProducerProcess]:
    with out.open("wb") as file:
        process = spawn([sys.executable, producing.__file__, redis_url, str(count), *key], stdout=file)
    try:
        yield ProducerProcess(process, out)
    finally:
        stop(process)


async def test_answers_of_a_killed_producer_are_read_by_another_process(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, sluicegate: CommandLine, tmp_path: Path
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, echo)
    with start_producer(tmp_path / "out", redis_url, 30) as dying:
        await wait_until(lambda: len(upstream.arrivals) == 30 and dying.said, "it waits for thirty answers")
        dying.process.kill()
        dying.process.wait()
    gate.set()
    async with AsyncProducer(redis_url, pool=POOL) as producer:
        replies = await asyncio.gather(*(producer.result(request_id, timeout=20) for request_id in dying.ids))
    assert [reply.json()["number"] for reply in replies] == list(range(30))
    shown = await sluicegate("result", dying.ids[7], "--json")
    assert (shown.code, shown.err) == (0, "")
    assert '"number":7' in json.dumps(shown.document, separators=(",", ":")).replace("\\", "")
    assert_paid_once(arrival.headers["idempotency-key"] for arrival in upstream.arrivals)


async def test_a_hundred_submits_with_one_key_are_one_call(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, tmp_path: Path
) -> None:
    """Sixty by the tasks of two producers here, forty by two other processes."""
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer(body=b'"one"'))
    body = {"model": "small", "messages": [], "number": 0}
    with ExitStack() as running:
        others = [running.enter_context(start_producer(tmp_path / f"out{n}", redis_url, 20, "same")) for n in range(2)]
        async with (
            AsyncProducer(redis_url, pool=POOL, agent="ann") as one,
            AsyncProducer(redis_url, pool=POOL, agent="ann") as two,
        ):
            tickets = await asyncio.gather(*((one, two)[n % 2].submit(PATH, body, key="same") for n in range(60)))
            await wait_until(lambda: all(other.said for other in others), "all have submitted")
            gate.set()
            replies = await asyncio.gather(*(ticket.reply() for ticket in tickets))
            await wait_until(lambda: all(len(other.said) == 21 for other in others), "the others are answered too")
    [arrival] = upstream.arrivals
    answers = {f"{reply.id} {reply.body.decode()}" for reply in replies} | {x for o in others for x in o.said[1:]}
    assert answers == {f'{arrival.headers["idempotency-key"]} "one"'}
    assert replies == [replies[0]] * 60
