"""The same as `driving` for producers that are synchronous: a sliding window of handles, the oldest awaited first.

Standard library only.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import work
from driving import PAUSE_S, WARM_UP_S, WARM_UP_S_MAX, report, say

Enqueue = Callable[[int, dict[str, Any]], Any]
Await = Callable[[Any], dict[str, Any]]

_numbers = itertools.count()


def drive_sync(parts: list[str], enqueue: Enqueue, await_reply: Await) -> None:
    """`enqueue` returns a handle, for which `await_reply` returns the reply."""
    for part in parts:
        kind, *numbers = part.split(":")
        if kind == "closed":
            _closed(part, int(numbers[0]), float(numbers[1]), enqueue, await_reply)
        elif kind == "idle":
            _idle(part, int(numbers[0]), enqueue, await_reply)
        else:
            _enqueue(part, int(numbers[0]), enqueue)


def _start(enqueue: Enqueue) -> tuple[int, float, Any]:
    number = next(_numbers)
    began = time.perf_counter()
    return number, began, enqueue(number, work.make_request(number))


def _end(started: tuple[int, float, Any], await_reply: Await) -> float:
    number, began, handle = started
    work.check(number, await_reply(handle))
    return time.perf_counter() - began


def _closed(part: str, outstanding: int, seconds: float, enqueue: Enqueue, await_reply: Await) -> None:
    window = deque(_start(enqueue) for _ in range(outstanding))
    took: list[float] = []

    def go_on(until: float, least: int = 0) -> None:
        while time.perf_counter() < until or len(took) < least:
            took.append(_end(window.popleft(), await_reply))
            window.append(_start(enqueue))
            if time.perf_counter() > until + WARM_UP_S_MAX:
                return

    go_on(time.perf_counter() + WARM_UP_S, outstanding)
    took.clear()
    say(begin=part)
    began = time.perf_counter()
    go_on(began + seconds)
    report(part, took, time.perf_counter() - began)
    while window:
        _end(window.popleft(), await_reply)


def _idle(part: str, count: int, enqueue: Enqueue, await_reply: Await) -> None:
    for _ in range(20):
        _end(_start(enqueue), await_reply)
    say(begin=part)
    began, took = time.perf_counter(), []
    for _ in range(count):
        time.sleep(PAUSE_S)
        took.append(_end(_start(enqueue), await_reply))
    report(part, took, time.perf_counter() - began)


def _enqueue(part: str, count: int, enqueue: Enqueue) -> None:
    enqueue(next(_numbers), work.make_request(0))
    say(begin=part)
    began = time.perf_counter()
    for _ in range(count):
        number = next(_numbers)
        enqueue(number, work.make_request(number))
    say(part=part, requests=count, seconds=time.perf_counter() - began)
