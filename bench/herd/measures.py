"""What a run's numbers mean. Pure arithmetic on times in seconds from the start of the run."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

import msgspec

from bench.herd.scenarios import Scenario, Span
from sluicegate_worker.demo.measures import Interval, count_busiest, index_fairness, merge, percentile

Call = tuple[float, int]  # arrival at the provider, and the status of its answer

CROWD_S = 0.1
CONGESTION_S_MIN = 1.0


class Outcome(NamedTuple):
    """One request: when it was wanted, and when its agent had the answer, or why it had none."""

    agent: str
    light: bool  # not one of the hogs
    wanted_s: float
    answered_s: float | None
    reason: str | None = None

    @property
    def time_s(self) -> float:
        """From wanting to the answer; without end for what was not answered, so that nobody gains by giving up."""
        return inf if self.answered_s is None else self.answered_s - self.wanted_s


class Measures(msgspec.Struct, frozen=True):
    """A percentile that is null falls on requests that were never answered."""

    wanted: int
    answers: int
    calls: int
    calls_429: int
    answered: float  # share of what was wanted
    sent_per_answer: float | None
    goodput: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    light_p50_s: float | None
    light_p95_s: float | None
    light_p99_s: float | None
    jain: float | None
    max_in_100ms: int
    unanswered: dict[str, int]  # why, as far as agents were told
    late_s_max: float = 0.0  # how far the machine fell behind the plan
    busy: float | None = None  # share of the traffic's time in which the busiest service ran or waited for a core


def measure(
    outcomes: Sequence[Outcome], calls: Sequence[Call], capacity: Sequence[Span], scenario: Scenario
) -> Measures:
    answers = sum(outcome.answered_s is not None for outcome in outcomes)
    times = [outcome.time_s for outcome in outcomes]
    light = [outcome.time_s for outcome in outcomes if outcome.light]
    successes = [at_s for at_s, status in calls if status == 200]
    return Measures(
        wanted=len(outcomes),
        answers=answers,
        calls=len(calls),
        calls_429=sum(status == 429 for _, status in calls),
        answered=answers / len(outcomes),
        sent_per_answer=len(calls) / answers if answers else None,
        goodput=measure_goodput(successes, [outcome.wanted_s for outcome in outcomes], capacity),
        p50_s=find_time(times, 0.5),
        p95_s=find_time(times, 0.95),
        p99_s=find_time(times, 0.99),
        light_p50_s=find_time(light, 0.5),
        light_p95_s=find_time(light, 0.95),
        light_p99_s=find_time(light, 0.99),
        jain=measure_fairness(outcomes, scenario.traffic_s),
        max_in_100ms=count_busiest((at_s for at_s, _ in calls), CROWD_S),
        unanswered=dict(Counter(outcome.reason or "?" for outcome in outcomes if outcome.answered_s is None)),
    )


def find_time(times_s: Sequence[float], share: float) -> float | None:
    """In how many seconds that share was answered; None when less was ever answered."""
    found = percentile(times_s, share)
    return None if found is None or found == inf else found


def measure_goodput(successes_s: Iterable[float], wanted_s: Iterable[float], capacity: Sequence[Span]) -> float | None:
    """Answers in the time in which work need never lack, as a share of what the provider could answer in that time.

    That time depends on the traffic alone, so that all columns are measured by the same: a queue that loses nothing and
    is served at the full limit would be busy in it. A column that gives up early has nothing to do then, and shows it.
    """
    congested = find_congestion(wanted_s, capacity)
    possible = sum(_work_between(start_s, end_s, capacity) for start_s, end_s in congested)
    if not possible:
        return None
    served = sum(any(start_s <= at_s < end_s for start_s, end_s in congested) for at_s in successes_s)
    return served / possible


def find_congestion(wanted_s: Iterable[float], capacity: Sequence[Span]) -> list[Interval]:
    """The times, of a second and more, in which requests would wait at a queue that is served at the full limit."""
    busy: list[Interval] = []
    free_s = 0.0
    for at_s in sorted(wanted_s):
        start_s = max(free_s, at_s)
        free_s = find_finish(start_s, capacity)
        busy.append((at_s, free_s))
    return [(start_s, end_s) for start_s, end_s in merge(busy) if end_s - start_s >= CONGESTION_S_MIN]


def find_finish(start_s: float, capacity: Sequence[Span]) -> float:
    """When one request is served whose service begins at `start_s`."""
    left = 1.0
    for span in capacity:
        from_s = max(start_s, span.from_s)
        if span.until_s <= from_s:
            continue
        if span.per_s and from_s + left / span.per_s <= span.until_s:
            return from_s + left / span.per_s
        left -= (span.until_s - from_s) * span.per_s
    return inf


def measure_fairness(outcomes: Iterable[Outcome], at_s: float) -> float | None:
    """Jain's index of how much of its fair share each agent had got when the traffic ended.

    What a fair share is follows from what the column itself had answered by then, so that this says nothing of how much
    that was: dealt out as evenly as may be, to none more than it wanted.
    """
    demands: Counter[str] = Counter()
    got: Counter[str] = Counter()
    for outcome in outcomes:
        demands[outcome.agent] += 1
        got[outcome.agent] += outcome.answered_s is not None and outcome.answered_s <= at_s
    fair = share_fairly(got.total(), demands)
    return index_fairness([got[agent] / share for agent, share in fair.items()]) if got.total() else None


def share_fairly(total: float, demands: Mapping[str, int]) -> dict[str, float]:
    """Max-min: all get the same, but for those who want less."""
    shares: dict[str, float] = {}
    for place, (agent, demand) in enumerate(sorted(demands.items(), key=lambda item: item[1])):
        shares[agent] = min(demand, total / (len(demands) - place))
        total -= shares[agent]
    return shares


def _work_between(start_s: float, end_s: float, capacity: Iterable[Span]) -> float:
    return sum(
        max(0.0, min(end_s, span.until_s) - max(start_s, span.from_s)) * span.per_s for span in capacity if span.per_s
    )
