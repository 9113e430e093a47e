"""What a dispatcher answers by HTTP: /livez, /readyz and /metrics, of a real process."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from sluicegate import AsyncProducer, RequestDead
from support.commands import CommandLine, assert_refused
from support.pools import chat
from support.processes import Process, start_dispatcher, write_settings
from support.restarting import RestartingServer
from support.served_pool import PATH, POOL
from support.upstream import Upstream, answer, cut, hang, once
from support.waiting import wait_until

_PORT = re.compile(r"at port (\d+)")


class Health:
    """What the dispatcher's port answers."""

    def __init__(self, http: ClientSession, dispatcher: Process) -> None:
        self._http, self._dispatcher = http, dispatcher

    async def status_of(self, path: str) -> int:
        async with self._http.get(f"http://127.0.0.1:{self._port}{path}") as response:
            return response.status

    async def read_metrics(self) -> str:
        async with self._http.get(f"http://127.0.0.1:{self._port}/metrics") as response:
            assert response.status == 200
            return await response.text()

    async def read(self) -> dict[tuple[str, ...], float]:
        """Value by name and labels' values."""
        families = text_string_to_metric_families(await self.read_metrics())
        samples = (sample for family in families for sample in family.samples)
        return {(s.name.removeprefix("sluicegate_"), *_values(s.labels)): s.value for s in samples}

    @property
    def _port(self) -> int:
        match = _PORT.search(self._dispatcher.words)
        assert match, self._dispatcher.words
        return int(match[1])


def _values(labels: Mapping[str, str]) -> list[str]:
    """The pool's first, then the upstream's, then what else there is."""
    ranks = {"pool": 0, "upstream": 1}
    return [labels[name] for name in sorted(labels, key=lambda name: (ranks.get(name, 2), name))]


@contextmanager
def observed(http: ClientSession, directory: Path, settings: str) -> Iterator[tuple[Process, Health]]:
    with start_dispatcher(directory, settings, "--health-port", "0", "--health-host", "127.0.0.1") as dispatcher:
        yield dispatcher, Health(http, dispatcher)


async def test_alive_and_ready_are_different_things(http: ClientSession, upstream: Upstream, tmp_path: Path) -> None:
    with (
        RestartingServer() as server,
        observed(http, tmp_path, write_settings(server.url, upstream.base_url)) as (
            dispatcher,
            health,
        ),
    ):
        assert [await health.status_of(path) for path in ("/livez", "/readyz", "/elsewhere")] == [200, 200, 404]
        server.kill()
        assert [await health.status_of(path) for path in ("/livez", "/readyz")] == [200, 503]
        assert (await health.read())[("redis_up",)] == 0
        assert ("pool_waiting", POOL) not in await health.read()
        server.start()

        async def is_ready() -> bool:
            return await health.status_of("/readyz") == 200

        await wait_until(is_ready, "it is ready again")
        assert (await health.read())[("redis_up",)] == 1
        upstream.next_up.append(hang)
        async with AsyncProducer(server.url, pool=POOL, agent="ann") as producer:
            ticket = await producer.submit(PATH, chat("x"))
            await wait_until(lambda: upstream.arrivals, "a call is in flight")
            dispatcher.process.terminate()
            await wait_until(lambda: "draining" in dispatcher.words, "it drains")
            assert [await health.status_of(path) for path in ("/livez", "/readyz")] == [200, 503]
            assert (await health.read())[("draining",)] == 1
            assert (await health.read())[("calls_in_flight", POOL)] == 1
            await ticket.cancel()
        assert await dispatcher.end() == 0


async def test_what_happened_is_counted(
    http: ClientSession, redis_url: str, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.next_up.extend([answer(429, headers={"retry-after": "0.05"}), cut, *[answer(500)] * 4])
    usage = b'{"usage":{"prompt_tokens":11,"completion_tokens":5}}'
    with observed(http, tmp_path, write_settings(redis_url, upstream.base_url, "rpm = 6000")) as (_, health):
        before = await health.read()
        assert before[("calls_total", POOL, "a", "429")] == 0
        async with AsyncProducer(redis_url, pool=POOL, agent="a-name-that-must-not-be-a-label") as producer:
            with pytest.raises(RequestDead):
                await producer.request(PATH, chat("x"))
            upstream.next_up.append(answer(body=usage))
            assert (await producer.request(PATH, chat("x"))).status == 200
            async with aclosing(producer.stream(PATH, chat("x"))) as stream:
                assert [piece async for piece in stream] != []
            after = await health.read()
            text = await health.read_metrics()
    counts = {labels: value - before.get(labels, 0) for labels, value in after.items()}
    by_status = {"2xx": 2, "429": 1, "5xx": 4, "failed": 1}
    assert {status: counts[("calls_total", POOL, "a", status)] for status in by_status} == by_status
    assert counts[("attempts_total", POOL, "a", "settled")] == 2
    assert counts[("attempts_total", POOL, "a", "retried")] == 5
    assert counts[("attempts_total", POOL, "a", "buried")] == 1
    assert counts[("retries_total", POOL, "a", "rate")] == 1
    assert counts[("retries_total", POOL, "a", "failure")] == 4
    assert counts[("dead_letters_total", POOL, "attempts")] == 1
    assert counts[("tokens_total", POOL, "a", "input")] == 11
    assert counts[("tokens_total", POOL, "a", "output")] == 5
    assert counts[("call_duration_seconds_count", POOL, "a")] == 8
    assert counts[("first_byte_seconds_count", POOL, "a")] == 1
    assert counts[("lease_seconds_count", POOL)] > 0
    assert counts[("wait_seconds_count", POOL, "interactive")] == 3
    assert after[("pool_dead", POOL)] == 1
    assert after[("pool_waiting", POOL)] == after[("pool_oldest_waiting_seconds", POOL)] == 0
    assert after[("pool_dispatchers_alive", POOL)] == after[("redis_up",)] == 1
    assert after[("redis_memory_used_bytes",)] > 1_000_000
    assert after[("upstream_limit_per_minute", POOL, "a", "rpm")] == 6000
    assert after[("upstream_calls_last_minute", POOL, "a")] == 8
    assert [after[("upstream_breaker", POOL, "a", state)] for state in ("closed", "open", "half_open")] == [1, 0, 0]
    assert "a-name-that-must-not-be-a-label" not in text


async def test_what_waits_is_measured(http: ClientSession, redis_url: str, upstream: Upstream, tmp_path: Path) -> None:
    settings = write_settings(redis_url, upstream.base_url, "rpm = 60", "max_in_flight = 1")
    gate = asyncio.Event()
    upstream.next_up.extend([once(gate, answer()), hang])
    with observed(http, tmp_path, settings) as (_, health):
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
            tickets = [await producer.submit(PATH, chat("x"))]
            await wait_until(lambda: upstream.arrivals, "the only place is taken")
            tickets += [await producer.submit(PATH, chat("x"), agent=agent) for agent in ("ann", "ann", "bob", "bob")]
            found = await health.read()
            assert found[("pool_waiting", POOL)] == 4
            assert found[("pool_in_flight", POOL)] == found[("upstream_in_flight", POOL, "a")] == 1
            assert found[("pool_agents_waiting", POOL)] == 2
            assert found[("pool_backlog_seconds", POOL)] == pytest.approx(4 / 0.975, rel=0.01)
            assert 0 < found[("pool_oldest_waiting_seconds", POOL)] < 60
            gate.set()
            await wait_until(lambda: len(upstream.arrivals) == 2, "one of the two had its turn")
            assert (await health.read())[("pool_fairness_gap_seconds", POOL)] == pytest.approx(1 / 0.975, rel=0.01)
            for ticket in tickets:
                await ticket.cancel()


async def test_a_port_that_is_taken_is_a_sentence(
    sluicegate: CommandLine, redis_url: str, upstream: Upstream, http: ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "sluicegate.toml").write_text(write_settings(redis_url, upstream.base_url))
    port = upstream.port
    where = ("--health-port", str(port), "--health-host", "127.0.0.1")
    ended = await sluicegate("dispatch", *where, "--log-format", "json")
    assert_refused(ended, f"cannot listen on 127.0.0.1 port {port}")
