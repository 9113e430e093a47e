"""Calls of the last minute and day, from the cells of time that the scripts keep for each upstream; pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

CELL_US = 5_000_000
WHOLE_CELLS = 12  # a minute
ENOUGH_CALLS = 20
_CELL = re.compile(rb"(\d+) (\d+) (\d+) (-?\d+) \d+ \d+\Z")
_MINUTE_US = 60_000_000


_HOUR = re.compile(rb"(\d+) (-?\d+) (-?\d+)\Z")
_HOUR_US = 3_600_000_000
_HOURS = 25  # the hour that a day began in counts as a whole, as `lua/include/tally.lua` has it


class CallCounts(NamedTuple):
    """`rpm` is the rate just now: a minute's worth of the shortest stretch that holds enough calls to tell; `tpm` the
    tokens of the calls that ended in the last minute."""

    calls_60s: int
    refusals_60s: int
    rpm: float
    tpm: float


def count_calls(cells: Iterable[bytes], now_us: int) -> CallCounts:
    """Each cell is '<number> <calls> <429s> <tokens> <good> <failed>'. The oldest one counts in part: the minute began
    within it."""
    current, passed_us = divmod(now_us, CELL_US)
    calls, refusals, tokens = ([0] * (WHOLE_CELLS + 1) for _ in range(3))
    for cell in cells:
        match = _CELL.match(cell)
        age = current - int(match[1]) if match else -1
        if match and 0 <= age <= WHOLE_CELLS:
            calls[age], refusals[age], tokens[age] = int(match[2]), int(match[3]), int(match[4])
    rest = 1 - passed_us / CELL_US
    calls_60s = sum(calls[:-1]) + calls[-1] * rest
    refusals_60s = sum(refusals[:-1]) + refusals[-1] * rest
    tokens_60s = sum(tokens[:-1]) + tokens[-1] * rest
    rpm = _rate_now(calls, passed_us, calls_60s)
    return CallCounts(round(calls_60s), round(refusals_60s), rpm, max(0.0, tokens_60s))


def count_day(hours: Iterable[bytes], now_us: int) -> dict[str, int]:
    """Calls (`rpd`) and tokens (`tpd`) of the last day. Each cell is '<hour> <calls> <tokens>'."""
    current, used = now_us // _HOUR_US, {"rpd": 0, "tpd": 0}
    for hour in hours:
        match = _HOUR.match(hour)
        if match and 0 <= current - int(match[1]) < _HOURS:
            used["rpd"] += int(match[2])
            used["tpd"] += int(match[3])
    return used


def _rate_now(calls: list[int], passed_us: int, calls_60s: float) -> float:
    counted, stretch_us = calls[0], passed_us
    for cell in calls[1:WHOLE_CELLS]:
        counted, stretch_us = counted + cell, stretch_us + CELL_US
        if counted >= ENOUGH_CALLS:
            return counted * _MINUTE_US / stretch_us
    return calls_60s
