"""KEDA's external scaler over gRPC, external-push too, with the health service that Kubernetes' gRPC probe asks.

Every answer comes from what the lookout saw last, so that none waits for Redis: KEDA sets its scalers no deadline.
Where nothing was seen lately the answer is UNAVAILABLE and never 0, which would scale everything away.
"""

from collections.abc import AsyncIterator, Callable
from math import ceil
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from prometheus_client import CollectorRegistry, Counter, Gauge

from sluicegate_worker.scaler import contract
from sluicegate_worker.scaler.lookout import Lookout, NotSeen
from sluicegate_worker.scaler.wish import InvalidWish, Wish, read_wish

_GRACE_S = 5.0
_MESSAGE_BYTES_MAX = 65_536  # of a trigger's metadata

Context = grpc.aio.ServicerContext[Any, Any]


class ScalerMetrics:
    """What was asked and answered."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "sluicegate_scaler_calls", "Questions, by their answer", ("method", "code"), registry=self.registry
        )
        self._wanted = Gauge(
            "sluicegate_scaler_wanted", "Replicas, as last answered", ("pool", "signal"), registry=self.registry
        )
        for method in ("IsActive", "StreamIsActive", "GetMetricSpec", "GetMetrics"):
            self._calls.labels(method, "UNAVAILABLE")

    def count(self, method: str, code: grpc.StatusCode) -> None:
        self._calls.labels(method, code.name).inc()

    def note(self, wish: Wish, wanted: float) -> None:
        """Pools that exist only, so that labels stay bounded."""
        self._wanted.labels(wish.pool, wish.signal).set(wanted)


class ScalerService:
    """The four calls of the contract that KEDA makes; StreamMetricSpec is newer and may be missing."""

    def __init__(self, lookout: Lookout, metrics: ScalerMetrics) -> None:
        self._lookout, self._metrics = lookout, metrics

    async def is_active(self, reference: Any, context: Context) -> Any:
        active = await self._answer("IsActive", context, lambda: self._ask(read_wish(reference.scalerMetadata)) > 0)
        return contract.IsActiveResponse(result=active)

    async def stream_is_active(self, reference: Any, context: Context) -> AsyncIterator[Any]:
        """The present state at once, then each change; trouble ends it with an error, and KEDA calls again."""
        last: bool | None = None
        while True:
            active = await self._answer(
                "StreamIsActive",
                context,
                lambda: self._ask(read_wish(reference.scalerMetadata)) > 0,
                again=last is not None,
            )
            if active != last:
                last = active
                yield contract.IsActiveResponse(result=active)
            async with self._lookout.changed:
                await self._lookout.changed.wait()

    async def get_metric_spec(self, reference: Any, context: Context) -> Any:
        """The value is the wanted number itself, so the target is one each."""

        def describe() -> Any:
            wish = read_wish(reference.scalerMetadata)
            self._lookout.check(wish.pool)
            return contract.MetricSpec(metricName=wish.metric, targetSize=1, targetSizeFloat=1.0)

        return contract.GetMetricSpecResponse(metricSpecs=[await self._answer("GetMetricSpec", context, describe)])

    async def get_metrics(self, request: Any, context: Context) -> Any:
        def measure() -> Any:
            wish = read_wish(request.scaledObjectRef.scalerMetadata)
            if request.metricName != wish.metric:
                raise NotSeen("pool", f"there is no metric {request.metricName[:200]!a} here: this is {wish.metric}")
            wanted = self._ask(wish)
            return contract.MetricValue(metricName=wish.metric, metricValue=ceil(wanted), metricValueFloat=wanted)

        return contract.GetMetricsResponse(metricValues=[await self._answer("GetMetrics", context, measure)])

    def _ask(self, wish: Wish) -> float:
        wanted = self._lookout.answer(wish)
        self._metrics.note(wish, wanted)
        return wanted

    async def _answer(self, method: str, context: Context, decide: Callable[[], Any], *, again: bool = False) -> Any:
        """`again`: of a call that was counted already."""
        try:
            found = decide()
        except InvalidWish as error:
            await self._refuse(method, context, grpc.StatusCode.INVALID_ARGUMENT, error)
        except NotSeen as error:
            code = grpc.StatusCode.UNAVAILABLE if error.why == "store" else grpc.StatusCode.NOT_FOUND
            await self._refuse(method, context, code, error)
        else:
            if not again:
                self._metrics.count(method, grpc.StatusCode.OK)
            return found

    async def _refuse(self, method: str, context: Context, code: grpc.StatusCode, error: Exception) -> NoReturn:
        self._metrics.count(method, code)
        await context.abort(code, str(error))


def make_server(
    service: ScalerService, address: str, credentials: grpc.ServerCredentials | None
) -> tuple[grpc.aio.Server, int, health.HealthServicer]:
    """Not started; the port is 0 where it cannot listen."""
    server = grpc.aio.server(
        options=(("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX), ("grpc.so_reuseport", 0))
    )
    server.add_generic_rpc_handlers((_handle(service),))
    healthy = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    try:
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    return server, port, healthy


async def say_health(healthy: health.HealthServicer, lookout: Lookout) -> None:
    """Serving while Redis is read: who is asked which replica to use should not choose one that sees nothing."""
    while True:
        serves = health_pb2.HealthCheckResponse.SERVING if lookout.sees else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", contract.SERVICE):
            await healthy.set(name, serves)
        async with lookout.changed:
            await lookout.changed.wait()


async def stop_server(server: grpc.aio.Server, healthy: health.HealthServicer) -> None:
    await healthy.enter_graceful_shutdown()
    await server.stop(_GRACE_S)


def _handle(service: ScalerService) -> grpc.GenericRpcHandler:
    reads = contract.ScaledObjectRef.FromString
    unary: Callable[..., Any] = grpc.unary_unary_rpc_method_handler
    methods = {
        "IsActive": unary(service.is_active, reads, _write),
        "StreamIsActive": grpc.unary_stream_rpc_method_handler(service.stream_is_active, reads, _write),
        "GetMetricSpec": unary(service.get_metric_spec, reads, _write),
        "GetMetrics": unary(service.get_metrics, contract.GetMetricsRequest.FromString, _write),
    }
    return grpc.method_handlers_generic_handler(contract.SERVICE, methods)


def _write(message: Any) -> bytes:
    written: bytes = message.SerializeToString()
    return written
