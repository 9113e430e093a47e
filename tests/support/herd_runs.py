"""Runs of the herd benchmark that nobody ran."""

import msgspec

from bench.herd.measures import Measures
from bench.herd.run import Run

FINE = Measures(
    wanted=10,
    answers=10,
    calls=10,
    calls_429=0,
    answered=1.0,
    sent_per_answer=1.0,
    goodput=0.9,
    p50_s=1.0,
    p95_s=2.0,
    p99_s=4.0,
    light_p50_s=1.0,
    light_p95_s=2.0,
    light_p99_s=4.0,
    jain=1.0,
    max_in_100ms=3,
    unanswered={},
)


def make_run(column: str, seed: int, **measures: object) -> Run:
    return Run("burst", "free", column, seed, 1_200, msgspec.structs.replace(FINE, **measures))
