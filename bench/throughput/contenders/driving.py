"""What a producer process does, whoever's queue it drives: the parts that its command line names, each reported as a
line of JSON.

    closed:<outstanding>:<seconds>   as many at once, each awaited; {part, round_trips, seconds, p50_ms, p99_ms}
    idle:<count>                     one at a time, with a pause before each; the same
    enqueue:<count>                  handed in and not awaited; {part, requests, seconds}

Before a part's measured time it says {begin: part}, so that its observer can read what the processes have used until
then. Standard library only.
"""

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import work

WARM_UP_S, WARM_UP_S_MAX = 1.0, 10.0
PAUSE_S = 0.005
ENQUEUED_AT_ONCE = 1_000

RoundTrip = Callable[[int, dict[str, Any]], Awaitable[dict[str, Any]]]
Enqueue = Callable[[int, dict[str, Any]], Awaitable[Any]]

_numbers = itertools.count()


def say(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


async def drive(parts: list[str], round_trip: RoundTrip, enqueue: Enqueue) -> None:
    """For contenders with an asynchronous producer."""
    for part in parts:
        kind, *numbers = part.split(":")
        if kind == "closed":
            await _closed(part, int(numbers[0]), float(numbers[1]), round_trip)
        elif kind == "idle":
            await _idle(part, int(numbers[0]), round_trip)
        else:
            await _enqueue(part, int(numbers[0]), enqueue)


async def _once(round_trip: RoundTrip) -> float:
    number = next(_numbers)
    began = time.perf_counter()
    work.check(number, await round_trip(number, work.make_request(number)))
    return time.perf_counter() - began


async def _closed(part: str, outstanding: int, seconds: float, round_trip: RoundTrip) -> None:
    took: list[float] = []
    stopped = False

    async def go_on() -> None:
        while not stopped:
            took.append(await _once(round_trip))

    loops = [asyncio.ensure_future(go_on()) for _ in range(outstanding)]
    give_up_at = time.perf_counter() + WARM_UP_S_MAX
    await asyncio.sleep(WARM_UP_S)
    while len(took) < outstanding and time.perf_counter() < give_up_at:  # noqa: ASYNC110  # until most have an answer
        await asyncio.sleep(PAUSE_S)
    took.clear()
    say(begin=part)
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    report(part, took, time.perf_counter() - began)
    stopped = True
    await asyncio.gather(*loops)


async def _idle(part: str, count: int, round_trip: RoundTrip) -> None:
    for _ in range(20):
        await _once(round_trip)
    say(begin=part)
    began, took = time.perf_counter(), []
    for _ in range(count):
        await asyncio.sleep(PAUSE_S)
        took.append(await _once(round_trip))
    report(part, took, time.perf_counter() - began)


async def _enqueue(part: str, count: int, enqueue: Enqueue) -> None:
    async def go_on() -> None:
        while (number := next(_numbers)) < last:
            await enqueue(number, work.make_request(number))

    await enqueue(next(_numbers), work.make_request(0))
    last = next(_numbers) + count
    say(begin=part)
    began = time.perf_counter()
    await asyncio.gather(*(go_on() for _ in range(ENQUEUED_AT_ONCE)))
    say(part=part, requests=count, seconds=time.perf_counter() - began)


def report(part: str, took: list[float], seconds: float) -> None:
    cuts = statistics.quantiles(took, n=100) if len(took) > 1 else [0.0] * 99
    say(part=part, round_trips=len(took), seconds=seconds, p50_ms=1000 * cuts[49], p99_ms=1000 * cuts[98])
