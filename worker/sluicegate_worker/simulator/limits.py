"""How a provider enforces one limit, in five styles: pure rules over a clock that the caller reads.

Amounts are calls or tokens. Everything is whole numbers: times in microseconds, rates in amounts per minute. A rule
that rounded would be wrong by one call exactly where the tests look, at the edge.

The styles that look at less than a minute work in debt form: whoever comes while anything is left may take as much as
it needs, and what it takes beyond is missing from the time that follows. Else a call larger than a quantum could never
pass. The styles of a minute and of a day are strict; there only a call that comes alone may be larger than the limit.
"""

from collections import OrderedDict
from typing import NamedTuple, Protocol

from sluicegate_worker.simulator.behaviour import Dimension, Style

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 24 * 60 * MINUTE_US
DAYS: frozenset[Dimension] = frozenset({"rpd", "tpd"})  # the limits of a day: no style changes how they are enforced


class Standing(NamedTuple):
    """What a limit tells its callers about itself."""

    limit: int  # as configured, whatever the style
    remaining: int  # that could be taken now without going into debt
    reset_us: int  # until nothing of the limit is used


class Limit(Protocol):
    """Times must not go backwards from call to call."""

    def wait_us(self, now_us: int, amount: int) -> int:
        """How long until a call of this amount, at least 1, would be admitted; 0 where it is now. Takes nothing."""
        ...

    def take(self, now_us: int, amount: int) -> None:
        """Uses the limit up, whether or not there is room."""
        ...

    def give_back(self, now_us: int, amount: int, taken_at_us: int) -> None:
        """Undoes a part of what was taken, as far as the limit still remembers it."""
        ...

    def count_refusal(self, now_us: int) -> None:
        """Takes 1 for a call that was refused."""
        ...

    def change_limit(self, limit: int, now_us: int) -> None:
        """Goes on with another limit; what was used stays used."""
        ...

    def standing(self, now_us: int) -> Standing: ...


class Bucket:
    """A token bucket that holds one second's worth, at least 1, and refills all the time."""

    def __init__(self, limit: int, now_us: int) -> None:
        self._limit = limit
        self._level = self._capacity
        self._at_us = now_us

    # The level is counted in parts of a call or token, MINUTE_US to one: each microsecond adds exactly `limit` parts.
    @property
    def _capacity(self) -> int:
        return max(MINUTE_US, self._limit * SECOND_US)

    def wait_us(self, now_us: int, amount: int) -> int:  # noqa: ARG002 - whatever it needs, it may go into debt
        self._refill(now_us)
        return max(0, _divide_up(MINUTE_US - self._level, self._limit))

    def take(self, now_us: int, amount: int) -> None:
        self._refill(now_us)
        self._level -= amount * MINUTE_US

    def give_back(self, now_us: int, amount: int, taken_at_us: int) -> None:  # noqa: ARG002 - a bucket has no memory
        self._refill(now_us)
        self._level = min(self._capacity, self._level + amount * MINUTE_US)

    # Never more than a second in debt for refusals, or a caller who insists would never be admitted again.
    def count_refusal(self, now_us: int) -> None:
        self._refill(now_us)
        self._level = max(min(self._level, -self._capacity), self._level - MINUTE_US)

    def change_limit(self, limit: int, now_us: int) -> None:
        self._refill(now_us)
        self._limit = limit

    def standing(self, now_us: int) -> Standing:
        self._refill(now_us)
        reset_us = _divide_up(self._capacity - self._level, self._limit)
        return Standing(self._limit, max(0, self._level // MINUTE_US), reset_us)

    def _refill(self, now_us: int) -> None:
        self._level = min(self._capacity, self._level + (now_us - self._at_us) * self._limit)
        self._at_us = now_us


class Quanta:
    """So much in each of the windows of a minute of the clock: in fewer, longer ones where that were less than 1."""

    def __init__(self, limit: int, now_us: int, windows_per_minute: int) -> None:
        self._windows_at_most = windows_per_minute
        self._limit = limit
        self._window = self._window_at(now_us)
        self._used = 0

    @property
    def _windows_per_minute(self) -> int:
        return min(self._limit, self._windows_at_most)

    @property
    def _quantum(self) -> int:
        return self._limit // self._windows_per_minute

    def wait_us(self, now_us: int, amount: int) -> int:  # noqa: ARG002 - whatever it needs, it may go into debt
        self._turn_to(now_us)
        windows = self._used // self._quantum
        return self._start_us(self._window + windows) - now_us if windows else 0

    def take(self, now_us: int, amount: int) -> None:
        self._turn_to(now_us)
        self._used += amount

    def give_back(self, now_us: int, amount: int, taken_at_us: int) -> None:  # noqa: ARG002 - debts carry no date
        self._turn_to(now_us)
        self._used = max(0, self._used - amount)

    # Where nothing is left there is nothing to take: a window forgets how often it was asked.
    def count_refusal(self, now_us: int) -> None:
        self._turn_to(now_us)
        if self._used < self._quantum:
            self._used += 1

    # What was used of this window must not become a debt only because windows got smaller.
    def change_limit(self, limit: int, now_us: int) -> None:
        self._turn_to(now_us)
        debt = max(0, self._used - self._quantum)
        self._limit = limit
        self._window = self._window_at(now_us)
        self._used = min(self._used - debt, self._quantum) + debt

    def standing(self, now_us: int) -> Standing:
        self._turn_to(now_us)
        windows = _divide_up(self._used, self._quantum)
        reset_us = self._start_us(self._window + windows) - now_us if windows else 0
        return Standing(self._limit, max(0, self._quantum - self._used), reset_us)

    def _turn_to(self, now_us: int) -> None:
        window = self._window_at(now_us)
        self._used = max(0, self._used - (window - self._window) * self._quantum)
        self._window = window

    def _window_at(self, now_us: int) -> int:
        return now_us * self._windows_per_minute // MINUTE_US

    def _start_us(self, window: int) -> int:
        return _divide_up(window * MINUTE_US, self._windows_per_minute)


class FixedWindow:
    """So much in each period of the clock; each begins with nothing used."""

    def __init__(self, limit: int, now_us: int, period_us: int) -> None:
        self._limit = limit
        self._period_us = period_us
        self._window = now_us // period_us
        self._used = 0

    def wait_us(self, now_us: int, amount: int) -> int:
        self._turn_to(now_us)
        return 0 if _fits(self._used, amount, self._limit) else self._until_next_us(now_us)

    def take(self, now_us: int, amount: int) -> None:
        self._turn_to(now_us)
        self._used += amount

    def give_back(self, now_us: int, amount: int, taken_at_us: int) -> None:
        self._turn_to(now_us)
        if taken_at_us // self._period_us == self._window:
            self._used = max(0, self._used - amount)

    def count_refusal(self, now_us: int) -> None:
        self.take(now_us, 1)

    def change_limit(self, limit: int, now_us: int) -> None:  # noqa: ARG002 - the windows stay what they are
        self._limit = limit

    def standing(self, now_us: int) -> Standing:
        self._turn_to(now_us)
        reset_us = self._until_next_us(now_us) if self._used else 0
        return Standing(self._limit, max(0, self._limit - self._used), reset_us)

    def _turn_to(self, now_us: int) -> None:
        window = now_us // self._period_us
        if window != self._window:
            self._window = window
            self._used = 0

    def _until_next_us(self, now_us: int) -> int:
        return (self._window + 1) * self._period_us - now_us


class SlidingMinute:
    """So much in any sixty seconds: a log of what was taken when, forgotten to the microsecond."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._log: OrderedDict[int, int] = OrderedDict()  # when → how much
        self._used = 0

    def wait_us(self, now_us: int, amount: int) -> int:
        self._forget(now_us)
        used, until_us, times = self._used, now_us, iter(self._log)
        while not _fits(used, amount, self._limit):
            taken_at_us = next(times)
            used -= self._log[taken_at_us]
            until_us = taken_at_us + MINUTE_US
        return until_us - now_us

    def take(self, now_us: int, amount: int) -> None:
        self._forget(now_us)
        if amount:
            self._log[now_us] = self._log.get(now_us, 0) + amount
            self._used += amount

    def give_back(self, now_us: int, amount: int, taken_at_us: int) -> None:
        self._forget(now_us)
        given = min(amount, self._log.get(taken_at_us, 0))
        if given:
            self._log[taken_at_us] -= given
            self._used -= given
            if not self._log[taken_at_us]:
                del self._log[taken_at_us]

    def count_refusal(self, now_us: int) -> None:
        self.take(now_us, 1)

    def change_limit(self, limit: int, now_us: int) -> None:  # noqa: ARG002 - the log stays what it is
        self._limit = limit

    def standing(self, now_us: int) -> Standing:
        self._forget(now_us)
        reset_us = next(reversed(self._log)) + MINUTE_US - now_us if self._log else 0
        return Standing(self._limit, max(0, self._limit - self._used), reset_us)

    def _forget(self, now_us: int) -> None:
        while self._log and next(iter(self._log)) + MINUTE_US <= now_us:
            self._used -= self._log.popitem(last=False)[1]


def make_limit(dimension: Dimension, style: Style, limit: int, now_us: int) -> Limit:
    """A limit of which nothing is used yet."""
    if dimension in DAYS:
        return FixedWindow(limit, now_us, DAY_US)
    match style:
        case "bucket":
            return Bucket(limit, now_us)
        case "second":
            return Quanta(limit, now_us, windows_per_minute=60)
        case "ten-seconds":
            return Quanta(limit, now_us, windows_per_minute=6)
        case "fixed-minute":
            return FixedWindow(limit, now_us, MINUTE_US)
        case "sliding-minute":
            return SlidingMinute(limit)


def _fits(used: int, amount: int, limit: int) -> bool:
    return used == 0 or used + amount <= limit


def _divide_up(amount: int, by: int) -> int:
    return -(-amount // by)
