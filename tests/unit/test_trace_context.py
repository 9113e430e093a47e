"""What a `traceparent` says, strictly as W3C has it, and the context of a call within it."""

import pytest

from sluicegate_worker.upstream.trace_context import begin_span

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (f"00-{TRACE}-{PARENT}-01", 1),
        (f"00-{TRACE}-{PARENT}-00", 0),
        (f"00-{TRACE}-{PARENT}-f2", 2),  # what nobody knows yet is not passed on
        (f"cc-{TRACE}-{PARENT}-03-what-comes-later", 3),
    ],
)
def test_a_call_is_part_of_its_agents_trace(header: str, flags: int) -> None:
    context = begin_span(header)
    assert (context.trace, context.parent, context.flags) == (TRACE, PARENT, flags)
    assert context.sampled == (flags in (1, 3))
    assert len(context.span) == 16
    assert context.span != PARENT
    assert context.header == f"00-{TRACE}-{context.span}-0{flags}"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
    ],
)
def test_what_cannot_be_read_begins_a_trace_of_its_own(header: str | None) -> None:
    context = begin_span(header)
    assert (context.parent, context.sampled) == ("", True)
    assert context.trace != TRACE
    assert begin_span(header).trace != context.trace
