"""What is scaled: a provider with a limit, a Deployment of real dispatchers, and load of which books are kept."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from sluicegate.store import Store
from sluicegate_worker.observe.snapshot import read_status
from support.deployment import Deployment
from support.generated_trace import write_arrivals
from support.processes import Process, Simulator, start_simulator, start_sluicegate, write_settings
from support.provider_rate import assert_never_above
from support.served_pool import POOL
from support.waiting import wait_until

AGENTS = 50


class Shape(NamedTuple):
    """How large it is: with so many calls at a time in each dispatcher, `fed` are as many as the bucket can feed."""

    rpm: int
    call_s: float
    concurrency: int

    @property
    def fed(self) -> float:
        return self.rpm / 60 * self.call_s / self.concurrency


class ScaledWorld(NamedTuple):
    directory: Path
    redis_url: str
    shape: Shape
    simulator: Simulator
    deployment: Deployment

    @contextmanager
    def offer(self, offsets_s: Sequence[float], speed: float = 1) -> Iterator[Process]:
        """`sluicegate load` with a request at each of these moments; it ends when all have their outcomes."""
        trace, out = self.directory / "trace.csv", self.directory / "records.jsonl"
        write_arrivals(trace, offsets_s)
        arguments = ("--trace", str(trace), "--speed", str(speed), "--agents", str(AGENTS), "--out", str(out), "--json")
        with start_sluicegate(self.directory, "load", "--redis-url", self.redis_url, *arguments) as load:
            yield load

    async def count_in_flight(self) -> int:
        """How many are leased, by the pool's own books."""
        async with Store(self.redis_url) as store:
            [pool] = (await read_status(store, [POOL], 0))["pools"]
        return int(pool["in_flight"])

    async def assert_all_answered(self, count: int) -> None:
        """Each request once, by its client's books and the provider's; and the provider's limit was kept."""
        records = [json.loads(line) for line in (self.directory / "records.jsonl").read_text().splitlines()]
        assert Counter((record["state"], record["status"]) for record in records) == {("ok", 200): count}
        await wait_until(lambda: self.simulator.count() >= count, "all calls are in the log")
        calls = self.simulator.calls()
        assert {call.id for call in calls} == {record["id"] for record in records}
        assert {record["attempts"] for record in records} == {1}
        assert_never_above(calls, self.shape.rpm)


@asynccontextmanager
async def start_scaled_world(
    directory: Path, redis_url: str, shape: Shape, dispatchers: int
) -> AsyncIterator[ScaledWorld]:
    """So many dispatchers serve when the block begins; all have drained when it has ended."""
    with start_simulator(directory, shape.rpm, "--latency-median-s", str(shape.call_s), "--seed", "1") as simulator:
        file = write_settings(redis_url, simulator.base_url, f"rpm = {shape.rpm}")
        async with Deployment(directory, file, "--concurrency", str(shape.concurrency)) as deployment:
            deployment.scale(dispatchers)
            await wait_until(lambda: deployment.count_ready() == dispatchers, "the dispatchers serve")
            yield ScaledWorld(directory, redis_url, shape, simulator, deployment)
