"""The caller's trace, where it has one: which of its headers travel with a request.

OpenTelemetry is no dependency of ours. Where the caller's process uses it, it is loaded already; where it is not, there
is no trace to go on with.
"""

import sys

TRACE_HEADERS = ("traceparent", "tracestate")


def read_trace() -> dict[str, str]:
    """Of the span that is current where this is called, as W3C's headers; empty where there is none."""
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is None and "opentelemetry.trace" in sys.modules:
        from opentelemetry import propagate  # its other half is there
    if propagate is None:
        return {}
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return {name: carrier[name] for name in TRACE_HEADERS if name in carrier}
