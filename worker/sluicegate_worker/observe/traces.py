"""Events as OpenTelemetry spans, one for each call, by the GenAI conventions.

The ids of a span are made with the call, so that the provider's own spans hang below it and the agent's above; here
they are only told to the SDK. Exporter, endpoint, service name and sampling are set by variables of its own (OTEL_…).
"""

import time
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sluicegate_worker.observe import events as told
from sluicegate_worker.observe.events import Event
from sluicegate_worker.upstream.trace_context import TraceContext

_SERVICE = "sluicegate"
_FLUSH_MS = 5_000
_NANO = 1_000_000_000
_OPERATIONS = {  # the end of a path → the operation, by the GenAI conventions
    "/chat/completions": "chat",
    "/messages": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
}
_PROVIDERS = {"azure": "azure.ai.openai", "gemini": "gcp.gemini", "bedrock": "aws.bedrock"}


class _GivenIds(IdGenerator):
    """Those of the call that is told next."""

    def __init__(self) -> None:
        self.context: TraceContext

    def generate_span_id(self) -> int:
        return int(self.context.span, 16)

    def generate_trace_id(self) -> int:
        return int(self.context.trace, 16)


class Traces:
    """Subscribes to Events. An exporter that cannot be reached costs spans and never a call: they wait in a thread of
    their own, and are dropped when too many do."""

    def __init__(self) -> None:
        self._ids = _GivenIds()
        resource = Resource.create({"service.name": _SERVICE}).merge(Resource.create())
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("sluicegate")

    def __call__(self, event: Event, _: BaseException | None) -> None:
        if isinstance(event, told.AttemptEnded) and event.called and event.context is not None:
            self._record(event, event.context)

    def close(self) -> None:
        """Sends what is left, within five seconds. Blocks."""
        self._provider.force_flush(_FLUSH_MS)
        self._provider.shutdown()

    def _record(self, event: told.AttemptEnded, context: TraceContext) -> None:
        self._ids.context = context
        ended_at = time.time()
        operation = next((word for end, word in _OPERATIONS.items() if event.path.endswith(end)), "generate_content")
        span = self._tracer.start_span(
            f"{operation} {event.model}".rstrip(),
            context=_parent_of(context),
            kind=SpanKind.CLIENT,
            attributes=_describe(event, operation),
            start_time=int((ended_at - event.duration_s) * _NANO),
        )
        problem = _problem_of(event)
        if problem is not None:
            span.set_attribute("error.type", problem)
            span.set_status(Status(StatusCode.ERROR))
        span.end(int(ended_at * _NANO))


def _parent_of(context: TraceContext) -> Any:
    """A remote span, whose flag says whether its trace is kept; none where the call begins one."""
    if not context.parent:
        return trace.set_span_in_context(trace.INVALID_SPAN)
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    remote = SpanContext(int(context.trace, 16), int(context.parent, 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(remote))


def _describe(event: told.AttemptEnded, operation: str) -> dict[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _PROVIDERS.get(event.provider, event.provider),
        "gen_ai.request.model": event.model or None,
        "gen_ai.request.stream": event.streamed,
        "gen_ai.response.time_to_first_chunk": event.first_byte_s,
        "gen_ai.usage.input_tokens": event.tokens_in,
        "gen_ai.usage.output_tokens": event.tokens_out,
        "http.response.status_code": event.status,
        "sluicegate.pool": event.pool,
        "sluicegate.upstream": event.upstream,
        "sluicegate.agent": event.agent,
        "sluicegate.request": event.request,
        "sluicegate.attempt": event.attempt,
        "sluicegate.outcome": event.outcome,
        "sluicegate.queued_s": event.queued_s,
    }
    return {name: value for name, value in found.items() if value is not None}


def _problem_of(event: told.AttemptEnded) -> str | None:
    """A status, or what there was instead of an answer."""
    if event.outcome == "cut":
        return None
    if event.status is None:
        return "no_answer"
    return str(event.status) if event.status >= 400 else None
