"""Another client of the same limits: calls at a constant pace, each with its share of every limit. Pure.

They are made up when somebody looks, one by one. After a silence that is at most two minutes of them; where a day is
limited it is all of them, at some ten microseconds each.
"""

from collections.abc import Iterator, Mapping

from sluicegate_worker.simulator.behaviour import Behaviour, Dimension
from sluicegate_worker.simulator.limits import DAY_US, DAYS, MINUTE_US

PARTS = 1_000_000  # of a share, so that it becomes a whole number
CALLS_PER_MINUTE_WITHOUT_RPM = 60
REMEMBERED_US = 2 * MINUTE_US  # at such an even pace, no limit of a minute differs by what was before that


class Sharer:
    """Takes `sharer` of each limit of a behaviour, from a moment on."""

    def __init__(self, behaviour: Behaviour, start_us: int) -> None:
        self._limits = behaviour.limits()
        self._share = round(behaviour.sharer * PARTS)
        # In parts of a call per minute.
        self._pace = PARTS * CALLS_PER_MINUTE_WITHOUT_RPM if behaviour.rpm is None else self._share * behaviour.rpm
        self._start_us = start_us
        self._made = 0

    def calls_until(self, now_us: int) -> Iterator[tuple[int, Mapping[Dimension, int]]]:
        """Those since it was last asked, as time and amounts, in order."""
        if not self._share:
            return
        first = self._made + 1
        if DAYS.isdisjoint(self._limits):
            first = max(first, self._calls_by(now_us - REMEMBERED_US))
        self._made = self._calls_by(now_us)
        for number in range(first, self._made + 1):
            at_us = self._start_us - (-number * MINUTE_US * PARTS // self._pace)
            yield at_us, {dimension: self._amount(dimension, number) for dimension in self._limits}

    def _calls_by(self, now_us: int) -> int:
        return (now_us - self._start_us) * self._pace // (MINUTE_US * PARTS)

    # As the difference of two totals, so that rounding never adds up.
    def _amount(self, dimension: Dimension, number: int) -> int:
        if dimension in {"rpm", "rpd"}:
            return 1
        per_period, by = self._share * self._limits[dimension] * MINUTE_US, self._period_us(dimension) * self._pace
        return per_period * number // by - per_period * (number - 1) // by

    def _period_us(self, dimension: Dimension) -> int:
        return DAY_US if dimension == "tpd" else MINUTE_US
