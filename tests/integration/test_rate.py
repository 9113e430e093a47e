"""The rate that the provider sees, by its own log: never above the limit, with any number of dispatchers."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from sluicegate import AsyncProducer
from sluicegate_worker.demo.measures import Interval, count_busiest, index_fairness, measure_utilisation
from support.pools import chat
from support.processes import Process, Simulator, start_dispatcher, start_simulator, write_settings
from support.provider_rate import assert_never_above
from support.served_pool import PATH, POOL
from support.waiting import make_alarm, wait_until

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("at_rest")]

STOP_S = 0.5
OPEN_MOST = 900  # a pool takes a thousand of one agent


class World(NamedTuple):
    """A provider with a limit, and dispatchers that share it."""

    simulator: Simulator
    dispatchers: list[Process]
    redis_url: str
    rpm: int


@contextmanager
def start_world(directory: Path, redis_url: str, rpm: int, dispatchers: int) -> Iterator[World]:
    with ExitStack() as running:
        simulator = running.enter_context(start_simulator(directory, rpm))
        file = write_settings(redis_url, simulator.base_url, f"rpm = {rpm}")
        started = [running.enter_context(start_dispatcher(directory, file)) for _ in range(dispatchers)]
        yield World(simulator, started, redis_url, rpm)


async def keep_busy(world: World, seconds: float, agents: int) -> Interval:
    """Every agent has two requests open at any time. Returns from when to when something waited; all are answered."""
    async with AsyncProducer(world.redis_url, pool=POOL) as producer:
        ends_at = time.time() + seconds

        async def ask(number: int) -> int:
            asked = 0
            while time.time() < ends_at:
                asked += 1
                reply = await producer.request(
                    PATH, chat(f"{number} {asked}", max_tokens=4), agent=f"a{number % agents}"
                )
                assert (reply.status, reply.attempts) == (200, 1)
            return asked

        asking = [asyncio.create_task(ask(number)) for number in range(2 * agents)]
        await wait_until(lambda: len(world.simulator.calls()) > 2 * agents, "the first round is over")
        began_at = time.time()
        asked = sum(await asyncio.gather(*asking))
    await wait_until(lambda: len(world.simulator.calls()) == asked, "all calls are in the log")
    return began_at, ends_at


@pytest.mark.parametrize("dispatchers", [1, 4])
async def test_the_provider_never_gets_more_than_its_limit(redis_url: str, tmp_path: Path, dispatchers: int) -> None:
    with start_world(tmp_path, redis_url, 1_200, dispatchers) as world:
        await keep_busy(world, 11.0, agents=20)
        assert_never_above(world.simulator.calls(), world.rpm)


@asynccontextmanager
async def stopping_one(dispatchers: list[Process]) -> AsyncIterator[list[Interval]]:
    """Stops a dispatcher for half a second once a minute; the first after ten seconds. Gives when it stood still."""
    stops: list[Interval] = []

    async def stop_again_and_again() -> None:
        wait_s = 10.0
        while True:
            await wait_until(make_alarm(wait_s), "it is time to stop", wait_s + 1)
            victim = dispatchers[len(stops) % len(dispatchers)]
            os.kill(victim.pid, signal.SIGSTOP)
            try:
                stopped_at = time.time()
                await wait_until(make_alarm(STOP_S), "it has stood still")
            finally:
                os.kill(victim.pid, signal.SIGCONT)
            stops.append((stopped_at, time.time()))
            wait_s = 60.0

    stopping = asyncio.create_task(stop_again_and_again())
    try:
        yield stops
    finally:
        stopping.cancel()
        await asyncio.wait([stopping])


@pytest.mark.full
@pytest.mark.timeout(180)
@pytest.mark.parametrize("dispatchers", [1, 4, 8])
async def test_the_limit_is_used_and_kept_though_one_stands_still(
    redis_url: str, tmp_path: Path, dispatchers: int
) -> None:
    with start_world(tmp_path, redis_url, 1_200, dispatchers) as world:
        async with stopping_one(world.dispatchers) as stops:
            began_at, ended_at = await keep_busy(world, 65.0, agents=30)
        calls = world.simulator.calls()
    assert stops
    assert_never_above(calls, world.rpm)
    busy = leave_out((began_at, ended_at), stops) if dispatchers == 1 else [(began_at, ended_at)]
    used = measure_utilisation(busy, [call.t for call in calls], world.rpm)
    assert used is not None
    assert used >= 0.965


def leave_out(whole: Interval, holes: list[Interval]) -> list[Interval]:
    pieces, start = [], whole[0]
    for began_at, ended_at in holes:
        pieces.append((start, began_at))
        start = ended_at
    return [*pieces, (start, whole[1])]


class Crowd:
    """Agents that ask at a steady rate, whatever becomes of it; `idle_at` is when one last had nothing open."""

    def __init__(self, producer: AsyncProducer, rates: Mapping[str, float]) -> None:
        self._producer, self._rates = producer, rates
        self._asked: Counter[str] = Counter()
        self._open: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.owners: dict[str, str] = {}
        self.idle_at: dict[str, float] = {}
        self.began_at = time.time()

    def offer(self) -> None:
        """Whatever is due by now."""
        passed_s = time.time() - self.began_at
        for agent, rate in self._rates.items():
            while self._asked[agent] < 1 + rate * passed_s and self._open[agent] < OPEN_MOST:
                self._asked[agent] += 1
                self._open[agent] += 1
                task = asyncio.create_task(self._ask(agent))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def leave(self) -> None:
        """Whatever still waits is cancelled with the task that waits for it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _ask(self, agent: str) -> None:
        request_id = f"{agent}-{self._asked[agent]}"
        self.owners[request_id] = agent
        await self._producer.request(PATH, chat(request_id, max_tokens=4), agent=agent, id=request_id)
        self._open[agent] -= 1
        if not self._open[agent]:
            self.idle_at[agent] = time.time()


@pytest.mark.full
@pytest.mark.timeout(180)
async def test_a_hundred_agents_beside_one_that_asks_a_hundred_times_as_much(redis_url: str, tmp_path: Path) -> None:
    """Together the hundred ask for half more than the limit, so that everybody waits."""
    rpm, seconds = 6_000, 45.0
    rates = {f"a{number}": 1.5 * rpm / 60 / 100 for number in range(100)} | {"hog": 1.5 * rpm / 60}
    with start_world(tmp_path, redis_url, rpm, 2) as world:
        async with AsyncProducer(world.redis_url, pool=POOL) as producer:
            crowd = Crowd(producer, rates)

            def is_over() -> bool:
                crowd.offer()
                return time.time() - crowd.began_at >= seconds

            await wait_until(is_over, "all was offered", seconds + 10)
            ended_at, settled_at = time.time(), crowd.began_at + 10
            await crowd.leave()
        calls = world.simulator.calls()
    assert all(at < settled_at for at in crowd.idle_at.values()), "not everybody waited"
    assert count_busiest([call.t for call in calls], 1.0) <= rpm // 60 + 1
    shares = Counter(crowd.owners[call.id or ""] for call in calls if settled_at <= call.t < ended_at)
    assert len(shares) == len(rates)
    assert index_fairness(list(shares.values())) >= 0.99
