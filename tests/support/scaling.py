"""A real `sluicegate scaler` process, and how KEDA asks it."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sluicegate_worker.scaler import contract
from support.keda import Answer
from support.processes import Process, start_sluicegate
from support.waiting import wait_until, wait_until_sync

DISPATCHERS = {"scalerAddress": "scaler:6000", "pool": "chat", "signal": "dispatchers", "concurrency": "2"}
AGENTS = {"scalerAddress": "scaler:6000", "pool": "chat", "signal": "agents", "rpmPerAgent": "6", "riseSeconds": "2"}
# KEDA balances over the addresses of a headless Service like this.
_ROUND_ROBIN = (("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),)


class Scaler(NamedTuple):
    process: Process
    port: int
    http_port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def start_scaler(directory: Path, redis_url: str, *arguments: str) -> Iterator[Scaler]:
    ports = directory / f"ports-{len(list(directory.iterdir()))}"
    where = ("--host", "127.0.0.1", "--port", "0", "--http-port", "0", "--port-file", str(ports))
    with start_sluicegate(directory, "scaler", "--redis-url", redis_url, *where, *arguments) as process:

        def is_up() -> bool:
            assert process.code is None, process.words
            return ports.exists()

        wait_until_sync(is_up, "the scaler listens")
        port, http_port = (int(line) for line in ports.read_text().split())
        yield Scaler(process, port, http_port)


class ScalerClient:
    """Asks as KEDA does."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._health = health_pb2_grpc.HealthStub(channel)

    async def is_active(self, metadata: Mapping[str, str]) -> bool:
        return bool((await self._call("IsActive", refer(metadata), contract.IsActiveResponse)).result)

    async def get_metric_spec(self, metadata: Mapping[str, str]) -> Any:
        [spec] = (await self._call("GetMetricSpec", refer(metadata), contract.GetMetricSpecResponse)).metricSpecs
        return spec

    async def get_metrics(self, metadata: Mapping[str, str], name: str | None = None) -> Any:
        named = name or f"sluicegate-{metadata['pool']}-{metadata['signal']}"
        request = contract.GetMetricsRequest(scaledObjectRef=refer(metadata), metricName=named)
        [value] = (await self._call("GetMetrics", request, contract.GetMetricsResponse)).metricValues
        return value

    async def wants(self, metadata: Mapping[str, str]) -> int:
        return int((await self.get_metrics(metadata)).metricValue)

    async def poll(self, metadata: Mapping[str, str]) -> Answer | None:
        """As KEDA does at each poll; None where the scaler cannot tell. The float counts if it is more than 0."""
        try:
            value = await self.get_metrics(metadata)
            active = await self.is_active(metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                return None
            raise
        return Answer(active, value.metricValueFloat if value.metricValueFloat > 0 else value.metricValue)

    async def stream_is_active(self, metadata: Mapping[str, str]) -> AsyncGenerator[bool]:
        method = self._channel.unary_stream(_path("StreamIsActive"), _write, contract.IsActiveResponse.FromString)
        async for answer in method(refer(metadata)):
            yield bool(answer.result)

    async def read_health(self, service: str = "") -> str:
        answer = await self._health.Check(health_pb2.HealthCheckRequest(service=service))
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    async def comes_to(self, health: str) -> None:
        async def is_so() -> bool:
            return await self.read_health() == health

        await wait_until(is_so, f"the scaler is {health}")

    async def _call(self, method: str, request: Any, answers: Any) -> Any:
        return await self._channel.unary_unary(_path(method), _write, answers.FromString)(request, timeout=5)


@asynccontextmanager
async def ask(address: str, credentials: grpc.ChannelCredentials | None = None) -> AsyncIterator[ScalerClient]:
    channel = (
        grpc.aio.secure_channel(address, credentials, options=_ROUND_ROBIN)
        if credentials
        else grpc.aio.insecure_channel(address, options=_ROUND_ROBIN)
    )
    async with channel:
        yield ScalerClient(channel)


def refer(metadata: Mapping[str, str]) -> Any:
    return contract.ScaledObjectRef(name="dispatchers", namespace="sluicegate", scalerMetadata=dict(metadata))


def _path(method: str) -> str:
    return f"/{contract.SERVICE}/{method}"


def _write(message: Any) -> bytes:
    written: bytes = message.SerializeToString()
    return written
