"""How a provider enforces requests per minute: pure rules over a clock that the caller reads.

Everything is whole numbers: times in microseconds, rates in requests per minute. A rule that rounded would be wrong by
one request exactly where the tests look, at the edge.
"""

from typing import NamedTuple, Protocol

from sluicegate_worker.simulator.behaviour import Style

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US


class Verdict(NamedTuple):
    """What the limit says about one call, and what it tells the caller about itself."""

    admitted: bool
    wait_us: int  # until a call would be admitted; 0 when this one is
    limit: int  # requests per minute
    remaining: int  # calls that would be admitted right after this one
    reset_us: int  # until nothing of the limit is used


class Limit(Protocol):
    """Times must not go backwards from call to call."""

    def decide(self, now_us: int, *, charge: bool) -> Verdict:
        """Admit or refuse a call that arrives now; only an admitted one with `charge` uses the limit up."""
        ...

    def change_rate(self, rpm: int, now_us: int) -> None:
        """Go on at another rate; what was used stays used."""
        ...


class Bucket:
    """A token bucket that holds one second's worth of calls, at least one, and refills all the time."""

    def __init__(self, rpm: int, now_us: int) -> None:
        self._rpm = rpm
        self._level = self._capacity
        self._at_us = now_us

    # The level is counted in parts of a call, MINUTE_US to one, so that each microsecond adds exactly `rpm` parts.
    @property
    def _capacity(self) -> int:
        return max(MINUTE_US, self._rpm * SECOND_US)

    def decide(self, now_us: int, *, charge: bool) -> Verdict:
        self._refill(now_us)
        admitted = self._level >= MINUTE_US
        if admitted and charge:
            self._level -= MINUTE_US
        return Verdict(
            admitted=admitted,
            wait_us=0 if admitted else _divide_up(MINUTE_US - self._level, self._rpm),
            limit=self._rpm,
            remaining=self._level // MINUTE_US,
            reset_us=_divide_up(self._capacity - self._level, self._rpm),
        )

    def change_rate(self, rpm: int, now_us: int) -> None:
        self._refill(now_us)
        self._rpm = rpm

    def _refill(self, now_us: int) -> None:
        self._level = min(self._capacity, self._level + (now_us - self._at_us) * self._rpm)
        self._at_us = now_us


class SecondWindows:
    """So many calls in each second of the wall clock; below 60 a minute, one in each window of 60/rpm seconds."""

    def __init__(self, rpm: int, now_us: int) -> None:
        self._rpm = rpm
        self._window = self._window_at(now_us)
        self._used = 0

    def decide(self, now_us: int, *, charge: bool) -> Verdict:
        self._turn_to(now_us)
        allowed = max(1, self._rpm // 60)
        admitted = self._used < allowed
        if admitted and charge:
            self._used += 1
        until_next_us = self._window_start_us(self._window + 1) - now_us
        return Verdict(
            admitted=admitted,
            wait_us=0 if admitted else until_next_us,
            limit=self._rpm,
            remaining=max(0, allowed - self._used),
            reset_us=until_next_us if self._used else 0,
        )

    def change_rate(self, rpm: int, now_us: int) -> None:
        self._turn_to(now_us)
        self._rpm = rpm
        self._window = self._window_at(now_us)

    def _turn_to(self, now_us: int) -> None:
        window = self._window_at(now_us)
        if window != self._window:
            self._window = window
            self._used = 0

    def _window_at(self, now_us: int) -> int:
        return now_us * min(self._rpm, 60) // MINUTE_US

    def _window_start_us(self, window: int) -> int:
        return _divide_up(window * MINUTE_US, min(self._rpm, 60))


def make_limit(style: Style, rpm: int, now_us: int) -> Limit:
    """A limit of which nothing is used yet."""
    return Bucket(rpm, now_us) if style == "bucket" else SecondWindows(rpm, now_us)


def _divide_up(amount: int, by: int) -> int:
    return -(-amount // by)
