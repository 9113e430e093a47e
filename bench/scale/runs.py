"""One load after another, each on a server of its own; what a request costs each time, as medians over the rounds."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from bench.throughput.contender import Contender
from bench.throughput.measure import Part, measure


class Load(NamedTuple):
    """`what` it shows, as it is told; the rest is how it is made."""

    what: str
    contender: Contender
    part: str
    workers: int = 1
    cluster: bool = False


class Cost(msgspec.Struct, frozen=True):
    """Of one load: requests a second; microseconds of CPU a request; milliseconds from end to end."""

    what: str
    rate: float
    producer_us: float
    dispatchers_us: float
    server_us: float
    p50_ms: float
    p99_ms: float


def run_once(load: Load) -> Part:
    [part] = measure(load.contender, [load.part], durable=False, workers=load.workers, cluster=load.cluster)
    return part


def describe(load: Load, parts: Sequence[Part]) -> Cost:
    def us(used: str) -> float:
        return median(1e6 * float(getattr(part, used)) / part.count for part in parts)

    return Cost(
        load.what,
        median(part.count / part.seconds for part in parts),
        us("producer_s"),
        us("worker_s"),
        us("server_s"),
        median(part.p50_ms for part in parts),
        median(part.p99_ms for part in parts),
    )
