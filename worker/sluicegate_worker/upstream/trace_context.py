"""W3C's trace context: what a `traceparent` says, and that of a call that is made within it; pure but for the ids.

00-<trace: 32 hex>-<parent: 16 hex>-<flags: 2 hex>, neither of all zeros (https://www.w3.org/TR/trace-context/)
"""

import os
import re
from typing import NamedTuple

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_SAMPLED, _RANDOM = 1, 2


class TraceContext(NamedTuple):
    """`span` is that of the call itself; `parent` is empty where the call begins a trace."""

    trace: str
    span: str
    parent: str
    flags: int

    @property
    def sampled(self) -> bool:
        return bool(self.flags & _SAMPLED)

    @property
    def header(self) -> str:
        return f"00-{self.trace}-{self.span}-{self.flags:02x}"


def begin_span(traceparent: str | None) -> TraceContext:
    """Within the trace that the caller named, or in one of its own where it named none that can be read."""
    span = os.urandom(8).hex()
    match = _FORM.match(traceparent or "")
    if match and _is_valid(*match.groups()):
        return TraceContext(match[2], span, match[3], int(match[4], 16) & (_SAMPLED | _RANDOM))
    return TraceContext(os.urandom(16).hex(), span, "", _SAMPLED)


def _is_valid(version: str, trace: str, parent: str, _: str, rest: str | None) -> bool:
    """Version 00 ends with its flags; later ones may go on."""
    ends_well = rest is None or version != "00"
    return version != "ff" and ends_well and set(trace) != {"0"} and set(parent) != {"0"}
