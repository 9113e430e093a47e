"""KEDA's side of an external scaler: the calls of its contract over gRPC, with messages of our own making."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from support.keda import Answer

PACKAGE = "externalscaler"
SERVICE = f"/{PACKAGE}.ExternalScaler"
# Each field with its number: a type of protobuf's, or a message of these; `*` is repeated, `map` from text to text.
MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "ScaledObjectRef": {"name": (1, "string"), "namespace": (2, "string"), "scalerMetadata": (3, "map")},
    "IsActiveResponse": {"result": (1, "bool")},
    "GetMetricSpecResponse": {"metricSpecs": (1, "*MetricSpec")},
    "MetricSpec": {"metricName": (1, "string"), "targetSize": (2, "int64"), "targetSizeFloat": (3, "double")},
    "GetMetricsRequest": {"scaledObjectRef": (1, "ScaledObjectRef"), "metricName": (2, "string")},
    "GetMetricsResponse": {"metricValues": (1, "*MetricValue")},
    "MetricValue": {"metricName": (1, "string"), "metricValue": (2, "int64"), "metricValueFloat": (3, "double")},
}


class ScalerClient:
    """`async with ScalerClient(address, metadata) as scaler:` … `await scaler.ask()`."""

    def __init__(self, address: str, metadata: Mapping[str, str]) -> None:
        self._address = address
        self._ref = _make("ScaledObjectRef")(name="target", namespace="default", scalerMetadata=dict(metadata))

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def ask(self) -> Answer | None:
        """As KEDA does at each poll; None where the scaler cannot tell. The float counts if it is more than 0."""
        try:
            spec = await self._call("GetMetricSpec", self._ref, "GetMetricSpecResponse")
            [metric] = spec.metricSpecs
            assert (metric.targetSize, metric.targetSizeFloat) == (1, 1.0), metric
            request = _make("GetMetricsRequest")(scaledObjectRef=self._ref, metricName=metric.metricName)
            [value] = (await self._call("GetMetrics", request, "GetMetricsResponse")).metricValues
            active = (await self._call("IsActive", self._ref, "IsActiveResponse")).result
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                return None
            raise
        return Answer(active, value.metricValueFloat if value.metricValueFloat > 0 else value.metricValue)

    async def _call(self, method: str, request: Any, response: str) -> Any:
        call: grpc.aio.UnaryUnaryMultiCallable[Any, Any] = self._channel.unary_unary(
            f"{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_make(response).FromString,
        )
        return await call(request)


def _make(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


def _describe() -> DescriptorPool:
    file = FileDescriptorProto(name="keda.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(message: DescriptorProto, name: str, number: int, kind: str) -> None:
    if kind == "map":
        entry = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, "string")
        kind = f"*{message.name}.{entry.name}"
    repeated = kind.startswith("*")
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    kind = kind.lstrip("*")
    if kind[0].isupper():
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")


_POOL = _describe()
