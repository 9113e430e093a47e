"""The scaler as a process, asked over real gRPC as KEDA asks, and by HTTP: the numbers, the errors, Redis away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import ClientSession

from sluicegate import AsyncProducer
from support.commands import CommandLine, assert_refused
from support.restarting import RestartingServer
from support.scaling import AGENTS, DISPATCHERS, Scaler, ScalerClient, ask, start_scaler
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.waiting import wait_until


@pytest.fixture
async def scaler(redis_url: str, tmp_path: Path) -> AsyncIterator[Scaler]:
    await apply_settings(make_settings(redis_url, rpm=600))
    with start_scaler(tmp_path, redis_url) as started:
        yield started


@pytest.fixture
async def keda(scaler: Scaler) -> AsyncIterator[ScalerClient]:
    async with ask(scaler.address) as asking:
        await asking.comes_to("SERVING")
        yield asking


async def wants(keda: ScalerClient, metadata: dict[str, str], number: int) -> None:
    async def is_so() -> bool:
        return await keda.wants(metadata) == number

    await wait_until(is_so, f"{metadata['signal']}: {number}")


async def test_every_question_has_its_answer(redis_url: str, keda: ScalerClient) -> None:
    spec = await keda.get_metric_spec(DISPATCHERS)
    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == ("sluicegate-chat-dispatchers", 1, 1.0)
    assert await keda.wants(DISPATCHERS) == 0
    assert await keda.is_active(DISPATCHERS) is False
    assert await keda.read_health("externalscaler.ExternalScaler") == "SERVING"
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
        tickets = [await producer.submit(PATH, {}) for _ in range(3)]
        await wants(keda, DISPATCHERS, 1)
        value = await keda.get_metrics(DISPATCHERS)
        assert (value.metricName, value.metricValue, value.metricValueFloat) == (spec.metricName, 1, 1.0)
        assert await keda.is_active(DISPATCHERS) is True
        assert await keda.wants(DISPATCHERS | {"min": "3"}) == 3
        for ticket in tickets:
            await ticket.cancel()


async def test_dispatchers_follow_the_calls_in_flight(redis_url: str, keda: ScalerClient) -> None:
    """Twelve calls that do not end, two in a dispatcher: the bucket feeds ten a second, so what lasts wants more."""
    async with (
        serve(make_settings(redis_url, rpm=600)) as gate,
        AsyncProducer(redis_url, pool=POOL, agent="ann") as producer,
    ):
        calls = [asyncio.create_task(producer.request(PATH, {"do": "hold"})) for _ in range(12)]

        async def wants_more() -> bool:
            return await keda.wants(DISPATCHERS) >= 3

        await wait_until(wants_more, "more are wanted")
        assert await keda.wants(DISPATCHERS | {"max": "2"}) == 2
        gate.set()
        await asyncio.gather(*calls)
        await wants(keda, DISPATCHERS, 0)


async def test_agents_follow_the_quota(sluicegate: CommandLine, redis_url: str, keda: ScalerClient) -> None:
    """585 of 600 a minute are paced, six an agent; a halved limit halves them at the next look, a doubled one later."""
    await wants(keda, AGENTS, 97)
    assert await keda.is_active(AGENTS) is True
    assert (await sluicegate("pool", "set", POOL, "a.rpm=300")).code == 0
    await wants(keda, AGENTS, 48)
    assert (await sluicegate("pool", "set", POOL, "a.rpm=600")).code == 0
    await wants(keda, AGENTS, 97)
    assert (await sluicegate("pool", "pause", POOL, "--upstream", "a")).code == 0
    await wants(keda, AGENTS, 0)
    assert await keda.is_active(AGENTS) is False
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
        ticket = await producer.submit(PATH, {})
        await wants(keda, AGENTS, 1)  # never none while one waits
        await ticket.cancel()


async def test_what_changes_is_pushed(redis_url: str, keda: ScalerClient) -> None:
    async with (
        AsyncProducer(redis_url, pool=POOL, agent="ann") as producer,
        aclosing(keda.stream_is_active(DISPATCHERS)) as pushed,
        asyncio.timeout(20),
    ):
        assert await anext(pushed) is False
        ticket = await producer.submit(PATH, {})
        assert await anext(pushed) is True
        await ticket.cancel()
        assert await anext(pushed) is False


@pytest.mark.parametrize(
    ("changes", "name", "code", "words"),
    [
        ({"pool": "elsewhere"}, None, "NOT_FOUND", "there is no pool elsewhere"),
        ({}, "sluicegate-chat-agents", "NOT_FOUND", "this is sluicegate-chat-dispatchers"),
        ({"concurency": "5"}, None, "INVALID_ARGUMENT", "did you mean concurrency?"),
        ({"concurrency": "0"}, None, "INVALID_ARGUMENT", "from 1 to 10_000"),
    ],
)
async def test_a_wrong_question_is_refused_with_the_cure(
    keda: ScalerClient, changes: dict[str, str], name: str | None, code: str, words: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await keda.get_metrics(DISPATCHERS | changes, name)
    assert refused.value.code().name == code
    assert words in (refused.value.details() or "")


async def test_agents_without_any_limit_need_a_bound(redis_url: str, tmp_path: Path) -> None:
    await apply_settings(make_settings(redis_url, rpm=None))
    with start_scaler(tmp_path, redis_url) as started:
        async with ask(started.address) as keda:

            async def is_bounded() -> bool:
                return await keda.read_health() == "SERVING" and await keda.wants(AGENTS | {"max": "9"}) == 9

            await wait_until(is_bounded, "it is the bound")
            with pytest.raises(grpc.aio.AioRpcError, match="give max"):
                await keda.get_metrics(AGENTS)


@pytest.mark.parametrize(("away", "back"), [("kill", "start"), ("freeze", "thaw")])
async def test_without_redis_it_says_so_and_never_zero(
    tmp_path: Path, http: ClientSession, away: str, back: str
) -> None:
    with RestartingServer() as server:
        await apply_settings(make_settings(server.url, rpm=600))
        with start_scaler(tmp_path, server.url) as started:
            async with ask(started.address) as keda:
                await keda.comes_to("SERVING")
                assert await keda.wants(AGENTS) == 97
                async with aclosing(keda.stream_is_active(AGENTS)) as pushed:
                    assert await anext(pushed) is True
                    getattr(server, away)()
                    with pytest.raises(grpc.aio.AioRpcError) as ended:
                        await anext(pushed)
                assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
                await keda.comes_to("NOT_SERVING")
                for question in (keda.is_active, keda.get_metrics, keda.get_metric_spec):
                    with pytest.raises(grpc.aio.AioRpcError) as refused:
                        await question(AGENTS)
                    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
                assert await _read(http, started, "/livez") == (200, "ok\n")
                assert (await _read(http, started, "/readyz"))[0] == 503
                assert (await _read(http, started, "/scale?pool=chat&signal=dispatchers"))[0] == 503
                getattr(server, back)()
                await keda.comes_to("SERVING")
                assert await keda.wants(AGENTS) == 97
            text = (await _read(http, started, "/metrics"))[1]
            assert 'sluicegate_scaler_calls_total{code="UNAVAILABLE",method="GetMetrics"} 1.0' in text
            assert 'sluicegate_scaler_wanted{pool="chat",signal="agents"} 97.0' in text
            started.process.process.terminate()
            assert await started.process.end() == 0
            assert "Traceback" not in started.process.words


async def test_it_starts_while_redis_is_away(tmp_path: Path) -> None:
    with RestartingServer() as server:
        await apply_settings(make_settings(server.url, rpm=600))
        server.kill()
        with start_scaler(tmp_path, server.url) as started:
            async with ask(started.address) as keda:
                await keda.comes_to("NOT_SERVING")
                server.start()
                await keda.comes_to("SERVING")


async def test_by_http_it_says_the_same(http: ClientSession, scaler: Scaler, keda: ScalerClient) -> None:
    async def get(query: str) -> tuple[int, Any]:
        async with http.get(f"http://127.0.0.1:{scaler.http_port}/scale?{query}") as response:
            return response.status, await response.json()

    value = await keda.wants(AGENTS)
    found = {"schema": 1, "pool": "chat", "signal": "agents", "value": value}
    assert await get("pool=chat&signal=agents&rpmPerAgent=6") == (200, found)
    status, said = await get("pool=elsewhere&signal=dispatchers")
    assert (status, "there is no pool elsewhere" in said["error"]) == (404, True)
    status, said = await get("pool=chat&signal=up")
    assert (status, said) == (400, {"schema": 1, "error": "signal must be dispatchers or agents"})


async def test_two_of_them_agree(scaler: Scaler, keda: ScalerClient, redis_url: str, tmp_path: Path) -> None:
    with start_scaler(tmp_path, redis_url) as other:
        async with ask(other.address) as second:
            await second.comes_to("SERVING")
            assert await second.wants(AGENTS) == await keda.wants(AGENTS)


async def test_wrong_flags_are_sentences(sluicegate: CommandLine, scaler: Scaler, tmp_path: Path) -> None:
    taken = ("--host", "127.0.0.1", "--port", str(scaler.port))
    assert_refused(await sluicegate("scaler", *taken), f"cannot listen on 127.0.0.1 port {scaler.port}")
    assert_refused(await sluicegate("scaler", "--tls-key", "k.pem"), "--tls-cert and --tls-key go together")
    gone = str(tmp_path / "gone.pem")
    assert_refused(await sluicegate("scaler", "--tls-cert", gone, "--tls-key", gone), f"cannot read {gone}")
    no_store = await sluicegate("scaler", "--host", "127.0.0.1", "--port", "0", "--redis-url", "http://x")
    assert (no_store.code, "http://x is not usable" in no_store.err) == (2, True)


async def _read(http: ClientSession, scaler: Scaler, path: str) -> tuple[int, str]:
    async with http.get(f"http://127.0.0.1:{scaler.http_port}{path}") as response:
        return response.status, await response.text()
