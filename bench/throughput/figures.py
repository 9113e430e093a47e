"""What rounds come to; pure. Rates are compared within a round, for the machine is another one a minute later: the
median of the rounds' ratios is the result, and the medians of the rates only say how large things are."""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct

from bench.throughput.contender import CONTENDERS, FLOOR, NODE
from bench.throughput.measure import Part


class Run(Struct, frozen=True):
    """One contender in one round."""

    round: int
    contender: str
    parts: list[Part]


class Figures(Struct, frozen=True):
    """One contender in one part: medians of its rounds. `rate` is a second; CPU is in seconds per 1,000; `of_*` are
    ratios of rates, None where the other did not run."""

    contender: str
    part: str
    rate: float
    p50_ms: float
    p99_ms: float
    producer_s: float
    worker_s: float
    server_s: float
    reads: float
    commands: float
    commands_us: float
    scripts_us: float
    memory_bytes: float
    of_floor: float | None
    of_best_python: float | None
    of_node: float | None

    @property
    def cpu_s(self) -> float:
        return self.producer_s + self.worker_s + self.server_s


def summarise(runs: Sequence[Run]) -> list[Figures]:
    """In the order of the contenders, part by part."""
    parts = list(dict.fromkeys(part.part for run in runs for part in run.parts))
    present = {run.contender for run in runs}
    return [_summarise_one(runs, name, part) for part in parts for name in CONTENDERS if name in present]


def find_figures(figures: Sequence[Figures], contender: str, kind: str) -> Figures | None:
    """Of the part that begins with `kind`."""
    return next((one for one in figures if one.contender == contender and one.part.startswith(kind)), None)


def _summarise_one(runs: Sequence[Run], name: str, part: str) -> Figures:
    mine = [found for run in runs if run.contender == name for found in run.parts if found.part == part]
    python = {other for other, contender in CONTENDERS.items() if contender.is_peer and other != NODE}

    def each(field: str) -> float:
        return float(median(getattr(one, field) / max(1, one.count) for one in mine))

    return Figures(
        contender=name,
        part=part,
        rate=median(one.count / one.seconds for one in mine),
        p50_ms=median(one.p50_ms for one in mine),
        p99_ms=median(one.p99_ms for one in mine),
        producer_s=1000 * each("producer_s"),
        worker_s=1000 * each("worker_s"),
        server_s=1000 * each("server_s"),
        reads=each("reads"),
        commands=each("commands"),
        commands_us=each("commands_us"),
        scripts_us=each("scripts_us"),
        memory_bytes=each("memory_bytes"),
        of_floor=_ratio(runs, part, name, {FLOOR}),
        of_best_python=_ratio(runs, part, name, python),
        of_node=_ratio(runs, part, name, {NODE}),
    )


def _ratio(runs: Sequence[Run], part: str, name: str, others: set[str]) -> float | None:
    """To the best of the others in the same round."""
    ratios = []
    for number in {run.round for run in runs}:
        rates = {
            run.contender: found.count / found.seconds
            for run in runs
            if run.round == number
            for found in run.parts
            if found.part == part
        }
        best = max((rate for other, rate in rates.items() if other in others), default=0.0)
        if best and name in rates:
            ratios.append(rates[name] / best)
    return median(ratios) if ratios else None
