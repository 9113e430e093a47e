"""What dispatchers cost while there is nothing to do."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer
from support.pools import chat
from support.processes import Process, start_dispatcher, write_settings
from support.served_pool import PATH
from support.stored import watch_commands
from support.upstream import Upstream
from support.waiting import wait_until

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("at_rest")]

DISPATCHERS = 4


@contextmanager
def start_dispatchers(directory: Path, redis_url: str, upstream: Upstream) -> Iterator[list[Process]]:
    with ExitStack() as running:
        file = write_settings(redis_url, upstream.base_url, "rpm = 1200")
        yield [running.enter_context(start_dispatcher(directory, file)) for _ in range(DISPATCHERS)]


async def let_pass(seconds: float) -> None:
    until = time.monotonic() + seconds
    await wait_until(lambda: time.monotonic() >= until, "the time has passed", seconds + 10)


async def count_commands(client: Redis, seconds: float) -> int:
    """What all dispatchers together send, scripts counted once."""
    async with watch_commands(client) as commands:
        await let_pass(seconds)
    sent = [name for name in commands if name not in ("ECHO", "CLIENT")]
    assert "EVALSHA" in sent, "nobody was there to be counted"
    return len(sent)


async def test_idle_dispatchers_ask_seldom(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, tmp_path: Path
) -> None:
    with start_dispatchers(tmp_path, redis_url, upstream):
        assert (await producer.request(PATH, chat())).status == 200  # idle after work, not only before
        assert await count_commands(client, 4.0) < 5 * DISPATCHERS * 4.0


def read_cpu_s(pid: int) -> float:
    """User and system time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
async def test_idle_dispatchers_cost_next_to_nothing(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, tmp_path: Path
) -> None:
    with start_dispatchers(tmp_path, redis_url, upstream) as dispatchers:
        assert (await producer.request(PATH, chat())).status == 200
        before_s = [read_cpu_s(one.pid) for one in dispatchers]
        began_at = time.monotonic()
        commands = await count_commands(client, 15.0)
        passed_s = time.monotonic() - began_at
        shares = [
            (read_cpu_s(one.pid) - spent_s) / passed_s for one, spent_s in zip(dispatchers, before_s, strict=True)
        ]
    assert commands / passed_s / DISPATCHERS < 5
    assert max(shares) < 0.02, shares
