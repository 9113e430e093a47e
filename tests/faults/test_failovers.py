"""The main job where Redis is several servers, and the one that matters is killed in its midst.

What a failover may cost: replication is asynchronous, so what was written in the last moment can be lost, and with it
an outcome (its call is made again) or an acceptance (its producer resends, under the same id). Nothing older, and
nobody is left without an answer.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from sluicegate import AsyncProducer, Reply, StoreUnavailable, UnknownRequest
from sluicegate.names import new_id
from support.pools import chat
from support.processes import start_dispatcher, write_settings
from support.replicated import Node, ReplicatedCluster, SentinelTrio
from support.served_pool import PATH, POOL
from support.upstream import Arrival, Connection, Upstream, answer
from support.waiting import make_alarm, wait_until

REQUESTS, AGENTS = 300, 12
CALL_S = 0.05
UNREPLICATED_S = 1.0  # what a replica may be behind; on one machine it is milliseconds

pytestmark = pytest.mark.timeout(120)


class Servers(Protocol):
    @property
    def url(self) -> str: ...


@pytest.fixture
def trio() -> Iterator[SentinelTrio]:
    with SentinelTrio() as running:
        yield running


@pytest.fixture
def cluster() -> Iterator[ReplicatedCluster]:
    with ReplicatedCluster() as running:
        yield running


async def _answer_after_a_while(arrival: Arrival, connection: Connection) -> None:
    await wait_until(make_alarm(CALL_S), "the call has lasted")
    await answer()(arrival, connection)


class Job:
    """Three hundred requests of twelve agents at a hundred a second, through two dispatchers."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.resent = 0
        upstream.behaviour = _answer_after_a_while

    async def run(self, servers: Servers, directory: Path, amid: Callable[[], None]) -> None:
        """`amid` is called when a third is done. Everybody has an answer at the end."""
        settings = write_settings(servers.url, self._upstream.base_url, "rpm = 6000")
        with start_dispatcher(directory, settings), start_dispatcher(directory, settings):
            async with AsyncProducer(servers.url, pool=POOL) as producer:
                ids = [new_id() for _ in range(REQUESTS)]
                calls = [asyncio.create_task(self._ask(producer, one, n)) for n, one in enumerate(ids)]
                await wait_until(lambda: len(self._upstream.arrivals) > REQUESTS // 3, "a third is under way")
                amid()
                replies = await asyncio.gather(*calls)
        assert [reply.id for reply in replies] == ids
        assert {reply.status for reply in replies} == {200}

    async def _ask(self, producer: AsyncProducer, request_id: str, number: int) -> Reply:
        """As an agent does: whoever is not sure sends again, under the same id."""
        body = chat(str(number))
        while True:
            try:
                return await producer.request(PATH, body, agent=f"a{number % AGENTS}", id=request_id)
            except (StoreUnavailable, UnknownRequest):
                self.resent += 1
                await wait_until(make_alarm(0.1), "it tries again")

    def called_twice(self) -> dict[str, float]:
        """When each was called first, by the clock of the arrivals."""
        ids = Counter(one.headers["idempotency-key"] for one in self._upstream.arrivals)
        assert len(ids) == REQUESTS
        first: dict[str, float] = {}
        for arrival in self._upstream.arrivals:
            first.setdefault(arrival.headers["idempotency-key"], arrival.at)
        return {one: first[one] for one, count in ids.items() if count > 1}


async def test_sentinels_and_nothing_happens(trio: SentinelTrio, upstream: Upstream, tmp_path: Path) -> None:
    job = Job(upstream)
    await job.run(trio, tmp_path, lambda: None)
    assert (job.called_twice(), job.resent) == ({}, 0)


async def test_a_primary_is_killed_that_sentinels_watch(trio: SentinelTrio, upstream: Upstream, tmp_path: Path) -> None:
    job, killed_at = Job(upstream), []

    def kill() -> None:
        trio.kill_primary()
        killed_at.append(time.monotonic())

    await job.run(trio, tmp_path, kill)
    assert trio.has_failed_over
    assert [at for at in job.called_twice().values() if at < killed_at[0] - CALL_S - UNREPLICATED_S] == []


async def test_a_cluster_and_nothing_happens(cluster: ReplicatedCluster, upstream: Upstream, tmp_path: Path) -> None:
    job = Job(upstream)
    await job.run(cluster, tmp_path, lambda: None)
    assert (job.called_twice(), job.resent) == ({}, 0)


async def test_the_primary_of_the_pool_is_killed_in_a_cluster(
    cluster: ReplicatedCluster, upstream: Upstream, tmp_path: Path
) -> None:
    job, killed_at = Job(upstream), []
    owner: Node = cluster.owner_of(f"sg:{{{POOL}}}:run")

    def kill() -> None:
        owner.kill()
        killed_at.append(time.monotonic())

    await job.run(cluster, tmp_path, kill)
    assert cluster.has_replaced(owner)
    assert [at for at in job.called_twice().values() if at < killed_at[0] - CALL_S - UNREPLICATED_S] == []
