"""KEDA's contract for external scalers: its messages, built from descriptors when this is imported.

Nothing is generated, so there is no generated code to keep in step with protobuf's versions. The names and numbers are
KEDA's (package `externalscaler`).
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "externalscaler.ExternalScaler"

_Field = descriptor_pb2.FieldDescriptorProto
_TEXT, _TRUTH, _WHOLE, _FLOAT = _Field.TYPE_STRING, _Field.TYPE_BOOL, _Field.TYPE_INT64, _Field.TYPE_DOUBLE
_PLAIN = (_TEXT, _TRUTH, _WHOLE, _FLOAT)

# Message → its fields in order, with their numbers from 1; a word is the message that a list holds, or that it is.
_MESSAGES: dict[str, dict[str, Any]] = {
    "IsActiveResponse": {"result": _TRUTH},
    "MetricSpec": {"metricName": _TEXT, "targetSize": _WHOLE, "targetSizeFloat": _FLOAT},
    "GetMetricSpecResponse": {"metricSpecs": ["MetricSpec"]},
    "GetMetricsRequest": {"scaledObjectRef": "ScaledObjectRef", "metricName": _TEXT},
    "MetricValue": {"metricName": _TEXT, "metricValue": _WHOLE, "metricValueFloat": _FLOAT},
    "GetMetricsResponse": {"metricValues": ["MetricValue"]},
}


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="externalscaler.proto", package="externalscaler", syntax="proto3")
    _add_reference(file.message_type.add(name="ScaledObjectRef"))
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            label = _Field.LABEL_REPEATED if isinstance(kind, list) else _Field.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if kind in _PLAIN:
                added.type = kind
            else:
                added.type = _Field.TYPE_MESSAGE
                added.type_name = f".externalscaler.{kind if isinstance(kind, str) else kind[0]}"
    return file


def _add_reference(message: descriptor_pb2.DescriptorProto) -> None:
    """Whose trigger it is, and the trigger's metadata: a map, which on the wire is a list of pairs."""
    for number, field in enumerate(("name", "namespace"), 1):
        message.field.add(name=field, number=number, type=_TEXT, label=_Field.LABEL_OPTIONAL)
    pair = message.nested_type.add(name="ScalerMetadataEntry")
    pair.options.map_entry = True
    for number, field in enumerate(("key", "value"), 1):
        pair.field.add(name=field, number=number, type=_TEXT, label=_Field.LABEL_OPTIONAL)
    message.field.add(
        name="scalerMetadata",
        number=3,
        type=_Field.TYPE_MESSAGE,
        label=_Field.LABEL_REPEATED,
        type_name=".externalscaler.ScaledObjectRef.ScalerMetadataEntry",
    )


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_describe())


def _class_of(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"externalscaler.{name}"))


ScaledObjectRef = _class_of("ScaledObjectRef")
IsActiveResponse = _class_of("IsActiveResponse")
MetricSpec = _class_of("MetricSpec")
GetMetricSpecResponse = _class_of("GetMetricSpecResponse")
GetMetricsRequest = _class_of("GetMetricsRequest")
MetricValue = _class_of("MetricValue")
GetMetricsResponse = _class_of("GetMetricsResponse")
