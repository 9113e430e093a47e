"""What a run's numbers mean: percentiles, busiest windows, use of the limit, fairness. Pure arithmetic on times."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from math import ceil

Interval = tuple[float, float]  # from the first until just before the second

UTILISATION_TIME_MIN_S = 1.0
FAIRNESS_WINDOW_MIN_S = 10.0
FAIRNESS_CHARGES = 10  # per waiting agent and window: fewer, and whole calls would look like unfairness
FAIRNESS_STEP_S = 1.0


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of all values do not exceed (nearest rank)."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def count_busiest(times: Iterable[float], window_s: float) -> int:
    """The most times that fall into any window of that length, wherever it begins; its end does not belong to it."""
    ordered = sorted(times)
    busiest = first = 0
    for last, time in enumerate(ordered):
        while time - ordered[first] >= window_s:
            first += 1
        busiest = max(busiest, last - first + 1)
    return busiest


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The same moments as intervals that neither overlap nor touch, in order."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def measure_utilisation(waiting: Iterable[Interval], admitted: Iterable[float], limit_rpm: float) -> float | None:
    """Calls admitted while anything waited ÷ what the limit allows in that time; None when that was under a second."""
    busy = merge(waiting)
    total_s = sum(end - start for start, end in busy)
    if total_s < UTILISATION_TIME_MIN_S:
        return None
    times = sorted(admitted)
    used = sum(bisect_left(times, end) - bisect_left(times, start) for start, end in busy)
    return used / (limit_rpm / 60 * total_s)


def measure_fairness(
    waiting: Mapping[str, Iterable[Interval]], charges: Mapping[str, Iterable[float]], limit_rpm: float | None
) -> float | None:
    """Jain's index of the charges of agents that waited through a whole window, averaged over windows.

    All charges and weights are equal, so charged seconds ÷ weight is the number of calls up to a factor, which the
    index does not see. Windows do not overlap; where fewer than two agents qualify, one is tried a second later.
    """
    busy = {agent: merge(intervals) for agent, intervals in waiting.items()}
    times = {agent: sorted(charges.get(agent, ())) for agent in busy}
    if not any(busy.values()):
        return None
    start = min(intervals[0][0] for intervals in busy.values() if intervals)
    end = max(intervals[-1][1] for intervals in busy.values() if intervals)
    charge_s = 60 / limit_rpm if limit_rpm else 0.0
    indices = []
    while start + FAIRNESS_WINDOW_MIN_S <= end:
        present = sum(_covers(intervals, start, start) for intervals in busy.values())
        stop = start + max(FAIRNESS_WINDOW_MIN_S, FAIRNESS_CHARGES * present * charge_s)
        shares = [
            bisect_left(times[agent], stop) - bisect_left(times[agent], start)
            for agent, intervals in busy.items()
            if _covers(intervals, start, stop)
        ]
        if len(shares) >= 2:
            indices.append(index_fairness(shares))
            start = stop
        else:
            start += FAIRNESS_STEP_S
    return sum(indices) / len(indices) if indices else None


def index_fairness(shares: Sequence[float]) -> float:
    """Jain's index: 1 when all shares are equal, 1/n when one has everything. Nobody having anything is equal too."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def _covers(intervals: Sequence[Interval], start: float, stop: float) -> bool:
    place = bisect_right(intervals, start, key=lambda interval: interval[0]) - 1
    return place >= 0 and start < intervals[place][1] and stop <= intervals[place][1]
