"""Traces from an agent's span through a dispatcher's to the provider, collected over OTLP by a real HTTP server."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

from sluicegate import AsyncProducer, Producer
from support.commands import CommandLine, assert_refused
from support.pools import chat
from support.processes import Process, start_sluicegate, write_settings
from support.served_pool import PATH, POOL
from support.upstream import Upstream, answer, hang
from support.waiting import wait_until, wait_until_sync

KEY = "sk-planted-0123456789"
USED = b'{"usage":{"prompt_tokens":11,"completion_tokens":5}}'
TRACER = TracerProvider().get_tracer("agent")


class Collector:
    """Where spans are sent; `spans` are all that came."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.bytes = b""

    async def receive(self, request: web.Request) -> web.Response:
        self.bytes += (body := await request.read())
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def wait_for(self, count: int) -> list[Any]:
        await wait_until(lambda: len(self.spans) >= count, f"{count} spans have come")
        return sorted(self.spans, key=lambda span: span.start_time_unix_nano)


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    collector, app = Collector(), web.Application()
    app.router.add_post("/v1/traces", collector.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield collector, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@contextmanager
def traced(directory: Path, settings: str, endpoint: str, **variables: str) -> Iterator[Process]:
    config = directory / "traced.toml"
    config.write_text(settings)
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", "UPSTREAM_KEY": KEY,
    } | variables  # fmt: skip
    with start_sluicegate(
        directory, "dispatch", "--config", str(config), "--traces", environment=environment
    ) as process:
        wait_until_sync(lambda: "serves" in process.words or process.code is not None, "it serves")
        assert process.code is None, process.words
        yield process


def attributes_of(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def id_of(span: Any) -> str:
    return str(span.span_id.hex())


async def test_agent_dispatcher_and_provider_are_one_trace(
    redis_url: str, upstream: Upstream, collector: tuple[Collector, str], tmp_path: Path
) -> None:
    collected, endpoint = collector
    upstream.next_up.extend([answer(500), answer(body=USED)])
    settings = write_settings(redis_url, upstream.base_url, "rpm = 6000", 'api_key_env = "UPSTREAM_KEY"')
    with traced(tmp_path, settings, endpoint):
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
            with TRACER.start_as_current_span("think") as agent:
                assert (await producer.request(PATH, chat("a secret"))).status == 200
        failed, good = await collected.wait_for(2)
    inside = agent.get_span_context()
    for span, arrival, attempt in ((failed, upstream.arrivals[0], 1), (good, upstream.arrivals[1], 2)):
        assert span.trace_id.hex() == f"{inside.trace_id:032x}"
        assert span.parent_span_id.hex() == f"{inside.span_id:016x}"
        assert arrival.headers["traceparent"].startswith(f"00-{inside.trace_id:032x}-{id_of(span)}-")
        assert attributes_of(span)["sluicegate.attempt"] == attempt
    assert good.name == "chat small"
    found = attributes_of(good)
    assert found["gen_ai.operation.name"] == "chat"
    assert (found["gen_ai.provider.name"], found["gen_ai.request.model"]) == ("openai", "small")
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (11, 5)
    assert (found["sluicegate.pool"], found["sluicegate.agent"], found["sluicegate.outcome"]) == (
        "chat",
        "ann",
        "settled",
    )
    assert found["sluicegate.queued_s"] >= 0
    assert (attributes_of(failed)["error.type"], failed.status.code) == ("500", 2)
    assert good.status.code == 0
    assert KEY.encode() not in collected.bytes
    assert b"a secret" not in collected.bytes


async def test_a_trace_begins_where_the_agent_has_none(
    redis_url: str, upstream: Upstream, collector: tuple[Collector, str], tmp_path: Path
) -> None:
    collected, endpoint = collector
    with traced(tmp_path, write_settings(redis_url, upstream.base_url), endpoint):
        async with (
            AsyncProducer(redis_url, pool=POOL, agent="ann") as producer,
            aclosing(producer.stream(PATH, chat("x"))) as stream,
        ):
            assert [piece async for piece in stream] != []
        [span] = await collected.wait_for(1)
    assert span.parent_span_id == b""
    assert upstream.arrivals[0].headers["traceparent"].split("-")[1:3] == [span.trace_id.hex(), id_of(span)]
    assert attributes_of(span)["gen_ai.request.stream"] is True
    assert attributes_of(span)["gen_ai.response.time_to_first_chunk"] > 0


async def test_what_is_not_sampled_is_not_collected(
    redis_url: str, upstream: Upstream, collector: tuple[Collector, str], tmp_path: Path
) -> None:
    collected, endpoint = collector
    unsampled = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}
    with traced(tmp_path, write_settings(redis_url, upstream.base_url), endpoint):
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
            await producer.request(PATH, chat("x"), headers=unsampled)
            await producer.request(PATH, chat("x"))
        [span] = await collected.wait_for(1)
    assert span.trace_id.hex() != "4bf92f3577b34da6a3ce929d0e0e4736"
    assert upstream.arrivals[0].headers["traceparent"].endswith("-00")


async def test_a_thread_without_a_loop_brings_its_own_trace(redis_url: str, upstream: Upstream, tmp_path: Path) -> None:
    """And without --traces the agent's own goes on as it is."""
    config = tmp_path / "plain.toml"
    config.write_text(write_settings(redis_url, upstream.base_url))
    with start_sluicegate(tmp_path, "dispatch", "--config", str(config)):

        def think() -> str:
            with Producer(redis_url, pool=POOL, agent="ann") as producer, TRACER.start_as_current_span("think") as span:
                producer.request(PATH, chat("x"))
                context = span.get_span_context()
                return f"00-{context.trace_id:032x}-{context.span_id:016x}-"

        own = await asyncio.to_thread(think)
        assert upstream.arrivals[0].headers["traceparent"].startswith(own)
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_a_collector_that_is_away_holds_up_nobody(redis_url: str, upstream: Upstream, tmp_path: Path) -> None:
    settings = write_settings(redis_url, upstream.base_url, "rpm = 60000")
    with traced(tmp_path, settings, "http://127.0.0.1:1", OTEL_EXPORTER_OTLP_TIMEOUT="1") as process:
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
            replies = await asyncio.gather(*(producer.request(PATH, chat(str(n))) for n in range(50)))
            assert {reply.status for reply in replies} == {200}
            upstream.next_up.append(hang)
            ticket = await producer.submit(PATH, chat("x"))
            await wait_until(lambda: len(upstream.arrivals) == 51, "the last is in flight")
            process.process.terminate()
            await ticket.cancel()
        assert await process.end() == 0
        assert process.words.count("\n") < 30


def test_without_opentelemetry_there_is_no_trace_and_no_import() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from sluicegate.tracing import read_trace\n"
        "import sluicegate, sluicegate.transport\n"
        "assert read_trace() == {}\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.')]"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_without_the_extra_it_says_what_to_install(
    sluicegate: CommandLine, redis_url: str, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "sluicegate.toml").write_text(write_settings(redis_url, upstream.base_url))
    hidden = tmp_path / "hidden"
    (hidden / "opentelemetry").mkdir(parents=True)
    (hidden / "opentelemetry" / "__init__.py").write_text("raise ImportError(name='opentelemetry')\n")
    ended = await sluicegate("dispatch", "--traces", PYTHONPATH=str(hidden))
    assert_refused(ended, "pip install 'sluicegate[otel]'")
