"""From runs to what is shown: medians over seeds, set against the oracle's, and who does better than we. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf
from statistics import median
from typing import Literal, NamedTuple

import msgspec

from bench.herd.run import Run


class Trait(NamedTuple):
    """A number of the table: which field of the measures, its head, its unit, and which way is better."""

    field: str
    head: str
    unit: Literal["seconds", "share", "ratio", "count"]
    more_is_better: bool = False
    against_oracle: bool = False
    light: bool = False  # says something only where there are hogs


TRAITS = (
    Trait("sent_per_answer", "calls per answer", "ratio"),
    Trait("calls_429", "429s", "count"),
    Trait("goodput", "goodput", "share", more_is_better=True, against_oracle=True),
    Trait("answered", "answered", "share", more_is_better=True),
    Trait("p50_s", "p50", "seconds", against_oracle=True),
    Trait("p95_s", "p95", "seconds", against_oracle=True),
    Trait("p99_s", "p99", "seconds", against_oracle=True),
    Trait("light_p50_s", "light p50", "seconds", against_oracle=True, light=True),
    Trait("light_p95_s", "light p95", "seconds", against_oracle=True, light=True),
    Trait("light_p99_s", "light p99", "seconds", against_oracle=True, light=True),
    Trait("jain", "Jain", "ratio", more_is_better=True),
    Trait("max_in_100ms", "in 100 ms", "count"),
)
# A lead below these, or below a fiftieth, is chance or lost in rounding.
NOTICED_SHARE = 0.02
NOTICED_MIN = {"seconds": 0.1, "share": 0.01, "ratio": 0.02, "count": 1.0}


class Summary(msgspec.Struct, frozen=True):
    """A column in a scenario and a model: medians over its seeds, null where the median run never got there."""

    model: str
    scenario: str
    column: str
    seeds: int
    medians: dict[str, float | None] = {}
    to_oracle: dict[str, float | None] = {}
    busy: float | None = None
    late_s_max: float = 0.0
    impossible: str | None = None


class Lead(NamedTuple):
    """In this trait, a column is better than another."""

    column: str
    trait: Trait
    its: float | None
    ours: float | None


def summarise(runs: Iterable[Run], oracle: str) -> list[Summary]:
    """In the order in which cases first appear. A column that failed for one seed has no medians."""
    groups: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.model, run.scenario, run.column].append(run)
    summaries = {key: _summarise(*key, group) for key, group in groups.items()}
    return [
        _relate(summary, summaries.get((summary.model, summary.scenario, oracle))) for summary in summaries.values()
    ]


def find_leads(summaries: Sequence[Summary], ours: Summary, traits: Sequence[Trait]) -> list[Lead]:
    """Every column that is noticeably better than ours in anything; all are of the same scenario and model."""
    return [
        Lead(summary.column, trait, its, own)
        for trait in traits
        for summary in summaries
        if summary is not ours
        and summary.medians
        and is_better(trait, its := summary.medians[trait.field], own := ours.medians[trait.field])
    ]


def is_better(trait: Trait, one: float | None, other: float | None) -> bool:
    """Where a number is missing it is the worst there is: never answered, or nothing served."""
    if one is None:
        return False
    if other is None:
        return True
    gain = one - other if trait.more_is_better else other - one
    return gain >= max(NOTICED_MIN[trait.unit], NOTICED_SHARE * abs(other))


def _summarise(model: str, scenario: str, column: str, runs: Sequence[Run]) -> Summary:
    impossible = next((run.impossible for run in runs if run.impossible), None)
    measured = [run.measures for run in runs if run.measures is not None]
    if impossible is not None or not measured:
        return Summary(model, scenario, column, len(runs), impossible=impossible or "not run")
    busy = [measures.busy for measures in measured if measures.busy is not None]
    return Summary(
        model,
        scenario,
        column,
        len(runs),
        {trait.field: _find_median([getattr(measures, trait.field) for measures in measured]) for trait in TRAITS},
        busy=median(busy) if busy else None,
        late_s_max=max(measures.late_s_max for measures in measured),
    )


def _find_median(values: Iterable[float | None]) -> float | None:
    found = median(inf if value is None else value for value in values)
    return None if found == inf else found


def _relate(summary: Summary, oracle: Summary | None) -> Summary:
    if oracle is None or not oracle.medians or not summary.medians:
        return summary
    ratios = {
        trait.field: value / best if (value := summary.medians[trait.field]) is not None and best else None
        for trait in TRAITS
        if trait.against_oracle
        for best in [oracle.medians[trait.field]]
    }
    return msgspec.structs.replace(summary, to_oracle=ratios)
