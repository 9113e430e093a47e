"""A trace is replayed while dispatchers are killed and the server dies: everything is answered, and paid for once."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sluicegate_worker.demo.measures import count_busiest
from support.fleet import Fleet, assert_paid_once
from support.generated_trace import write_trace
from support.leaks import assert_at_rest
from support.processes import Simulator, start_simulator, start_sluicegate, write_settings
from support.restarting import RestartingServer
from support.served_pool import POOL
from support.waiting import make_alarm, wait_until

pytestmark = pytest.mark.alone

RPM = 10_000
WINDOW_S = 10.0


async def replay(
    directory: Path,
    server: RestartingServer,
    client: Redis,
    trace: Path,
    *,
    kills: int,
    every_s: float,
    rules: list[str],
) -> None:
    """Two dispatchers, one of which is killed and replaced again and again, and the server once."""
    with start_simulator(directory, RPM) as simulator:
        file = write_settings(server.url, simulator.base_url, f"rpm = {RPM}", rules=rules)
        async with Fleet(directory, client, file) as fleet:
            await fleet.start(2)
            out = directory / "records.jsonl"
            arguments = ("--redis-url", server.url, "--trace", str(trace), "--speed", "60", "--agents", "200")
            with start_sluicegate(directory, "load", *arguments, "--out", str(out), "--json") as load:
                for number in range(kills):
                    await wait_until(make_alarm(every_s), "it is time for a fault", every_s + 1)
                    assert load.code is None, "the load was over before the last fault"
                    await fleet.kill(fleet.running[0])  # who came last stands at the end, so they take turns
                    await fleet.start()
                    if number == kills // 2:
                        server.kill()
                        server.start()
                assert await load.end(200) == 0, load.words
        records = [json.loads(line) for line in out.read_text().splitlines()]
        answered = {record["id"] for record in records}
        await wait_until(lambda: answered <= {call.id for call in simulator.calls()}, "all calls are in the log")
        assert_everything_is_right(records, simulator, fleet.held)
    await assert_at_rest(client, POOL)


def assert_everything_is_right(records: list[dict[str, Any]], simulator: Simulator, held: Counter[str]) -> None:
    calls = simulator.calls()
    assert Counter((record["state"], record["status"]) for record in records) == {("ok", 200): len(records)}
    assert len({record["id"] for record in records}) == len(records)
    assert {call.id for call in calls} == {record["id"] for record in records}
    assert sum(held.values()) > 0, "nothing was in flight at any kill"
    assert_paid_once((call.id for call in calls), held)
    assert count_busiest((call.t for call in calls), WINDOW_S) <= RPM / 60 * WINDOW_S + 1


async def test_replay_with_killed_dispatchers_and_a_killed_server(
    own_server: RestartingServer, own_client: Redis, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.csv"
    write_trace(trace, rows=900, duration_s=540, burst=100)
    await replay(tmp_path, own_server, own_client, trace, kills=3, every_s=1.5, rules=["lease_s = 3"])
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 900


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_replay_of_an_hour_of_traffic(own_server: RestartingServer, own_client: Redis, tmp_path: Path) -> None:
    """As much as an hour of recorded traffic has, in a minute, with the pool's usual lease."""
    trace = tmp_path / "trace.csv"
    write_trace(trace, rows=8_819, duration_s=3_540, burst=300)
    await replay(tmp_path, own_server, own_client, trace, kills=9, every_s=5.0, rules=[])
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == 8_819
