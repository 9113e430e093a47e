"""When a slot of Redis' clock is by this process's monotonic clock, and how late Redis' replies come.

A reply carries Redis' time of the script; it was read here a little later. The smallest difference seen is the
nearest to
the truth, so that a reply that took long counts as late and its slot is not stretched. Old differences are forgotten
after a minute, since clocks drift.
"""

_FORGET_S = 30.0
_LEAD_FROM_S = 0.005
_MICRO = 1_000_000


class StoreClock:
    """Pure: it is told what was seen. Times are seconds by the monotonic clock, or microseconds by Redis'."""

    def __init__(self) -> None:
        self._smallest_s = self._smallest_before_s = float("inf")
        self._turned_at = float("-inf")
        self._lateness_s = 0.0

    def see(self, now_us: int, read_at: float) -> None:
        """A reply that was made at `now_us` was read at `read_at`."""
        difference_s = read_at - now_us / _MICRO
        if read_at - self._turned_at > _FORGET_S:
            self._smallest_before_s, self._smallest_s, self._turned_at = self._smallest_s, difference_s, read_at
        self._smallest_s = min(self._smallest_s, difference_s)
        lateness_s = difference_s - self._offset_s
        # Rises at once and falls slowly: a network that was slow a moment ago is likely to be slow again.
        self._lateness_s = max(lateness_s, self._lateness_s * 0.9)

    @property
    def _offset_s(self) -> float:
        return min(self._smallest_s, self._smallest_before_s)

    def monotonic_of(self, store_us: int) -> float:
        return store_us / _MICRO + self._offset_s

    def store_us_of(self, monotonic: float) -> int:
        return int((monotonic - self._offset_s) * _MICRO)

    @property
    def lead_us(self) -> int:
        """How far ahead a slot must lie to be reachable; nothing while replies come within 5 ms."""
        return 0 if self._lateness_s < _LEAD_FROM_S else int(self._lateness_s * _MICRO)
