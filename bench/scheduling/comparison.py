"""The same arrivals before three schedulers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.scheduling import models, ours
from bench.scheduling.loads import (
    SECOND_US,
    Arrival,
    Limits,
    deal_out,
    fit_limits,
    is_light,
    make_hog_load,
    make_sample_trace,
)
from bench.scheduling.verdict import Verdict, judge
from sluicegate_worker.demo.embedded import EmbeddedServer
from sluicegate_worker.demo.traces import TraceRow, read_trace

TITLES = {
    "fifo": "first come, first served",
    "round_robin": "round robin over agents",
    "sluicegate": "**Sluicegate**",
}
HOG_LIMITS = Limits(rpm=500, tpm=100_000)
TRACE_USE = 1.2
SAMPLE_ROWS_PER_S = 4


class Comparison(msgspec.Struct, frozen=True):
    """One load under every scheduler. `without_hog`: the same load but for the hog, where there is one."""

    load: str
    sentence: str
    rpm: int
    tpm: int
    duration_s: float
    requests: int
    verdicts: dict[str, Verdict]
    without_hog: dict[str, Verdict]


def compare_hog(seed: int, duration_s: float) -> Comparison:
    load, rest = (make_hog_load(seed, duration_s, hog=hog) for hog in (True, False))
    return Comparison(
        "hog",
        "a hog (20 requests a second of 2,000 tokens), 20 heavy and 179 light agents",
        HOG_LIMITS.rpm,
        HOG_LIMITS.tpm,
        duration_s,
        len(load),
        _judge_all(load, HOG_LIMITS, duration_s, is_light),
        _judge_all(rest, HOG_LIMITS, duration_s, is_light),
    )


def compare_trace(trace: Path | None, agents: int, seed: int, duration_s: float) -> Comparison:
    """Raises TraceError."""
    rows: Sequence[TraceRow]
    if trace is None:
        rows = make_sample_trace(seed, int(duration_s * SAMPLE_ROWS_PER_S), duration_s)
    else:
        rows = read_trace(trace)
    load = deal_out(rows, agents, duration_s)
    limits = fit_limits(load, duration_s, TRACE_USE)
    origin = "a trace made up in code" if trace is None else f"the trace {trace.name}"
    sentence = f"{origin}, {TRACE_USE:g} times the limit of tokens, dealt out to {agents} agents"
    verdicts = _judge_all(load, limits, duration_s, lambda _: False)
    return Comparison("trace", sentence, limits.rpm, limits.tpm, duration_s, len(load), verdicts, {})


def _judge_all(
    load: Sequence[Arrival], limits: Limits, duration_s: float, of_light: Callable[[str], bool]
) -> dict[str, Verdict]:
    until_us = int(duration_s * SECOND_US)
    with EmbeddedServer("--appendonly", "no") as server:
        steps = {
            "fifo": models.serve(load, limits, models.FirstComeFirstServed(), until_us),
            "round_robin": models.serve(load, limits, models.RoundRobin(), until_us),
            "sluicegate": ours.serve_alone(server.url, load, limits, until_us),
        }
    return {name: judge(found, load, limits, until_us, of_light) for name, found in steps.items()}
