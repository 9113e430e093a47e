"""When requests arrive: in a day and in an hour that are made up, or in the hour that $SLUICEGATE_TRACE recorded."""

import math
import os
from itertools import accumulate
from pathlib import Path
from random import Random

from sluicegate_worker.demo.traces import read_trace

DAY_S = 86_400
HOUR_S = 3_600
SPIKE = (30 / 48, 31 / 48)  # of the day
BLOCK_S = 10


def draw_day(rows: int, seed: int = 1) -> list[float]:
    """A quiet night, a busy noon of nine times as much, and in the afternoon half an hour of twice that."""

    def busyness(at: float) -> float:
        spike = 2 if SPIKE[0] <= at < SPIKE[1] else 1
        return spike * (1 - 0.8 * math.cos(2 * math.pi * at))

    return _draw(rows, [busyness(minute / 1_440) for minute in range(1_440)], 60, seed)


def draw_hour(rows: int, seed: int = 1) -> list[float]:
    """As people ask for code: silent for minutes, then for minutes several times as much as on average.

    A recorded hour has 8,819 requests, none in 13 of its minutes and 632 in one.
    """
    random = Random(seed)
    weights: list[float] = []
    while len(weights) * BLOCK_S < HOUR_S:
        blocks = 1 + int(random.expovariate(1 / 6))
        busy = random.random() < 0.6
        weights += [random.lognormvariate(0, 0.8) if busy else 0.01 for _ in range(blocks)]
    return _draw(rows, weights[: HOUR_S // BLOCK_S], BLOCK_S, seed)


def find_hour() -> list[float]:
    """The recorded hour that $SLUICEGATE_TRACE names; else one of as many requests that is made up."""
    path = os.environ.get("SLUICEGATE_TRACE")
    return [row.offset_s for row in read_trace(Path(path))] if path else draw_hour(8_819)


def count_by_second(offsets_s: list[float], seconds: int) -> list[int]:
    """How many arrive in each second."""
    counts = [0] * seconds
    for offset_s in offsets_s:
        counts[min(seconds - 1, int(offset_s))] += 1
    return counts


def _draw(rows: int, weights: list[float], block_s: float, seed: int) -> list[float]:
    """So many moments, independent of each other, in blocks of these weights."""
    random = Random(seed)
    blocks = random.choices(range(len(weights)), cum_weights=list(accumulate(weights)), k=rows)
    return sorted((block + random.random()) * block_s for block in blocks)
