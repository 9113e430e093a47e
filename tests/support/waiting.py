"""Waiting for a condition: the only place in the tests that sleeps."""

import asyncio
import inspect
import time
from collections.abc import Callable

POLL_S = 0.01


async def wait_until(predicate: Callable[[], object], description: str, timeout_s: float = 20.0) -> None:
    """Returns once `predicate` (a function or a coroutine function) gives something true; fails with `description`."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"waited {timeout_s:g} s in vain until {description}")
        await asyncio.sleep(POLL_S)


def wait_until_sync(predicate: Callable[[], object], description: str, timeout_s: float = 20.0) -> None:
    """The same for tests and fixtures without an event loop."""
    give_up_at = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"waited {timeout_s:g} s in vain until {description}")
        time.sleep(POLL_S)


async def let_others_run(turns: int) -> None:
    """That many turns of the event loop, for what has to happen at every possible moment of something else."""
    for _ in range(turns):
        await asyncio.sleep(0)


def make_alarm(after_s: float) -> Callable[[], bool]:
    """A predicate that turns true after that time, for what has to last a while: a standstill, a stretch of load."""
    rings_at = time.monotonic() + after_s
    return lambda: time.monotonic() >= rings_at
