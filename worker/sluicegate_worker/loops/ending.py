"""Ends a task for certain: before Python 3.12 a cancellation can be lost in a Redis client's time-outs."""

import asyncio
from typing import Any

_CANCEL_AGAIN_S = 0.1


async def end_task(task: asyncio.Future[Any]) -> None:
    """Cancels again until the task has ended; what it ended with is left to the caller."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=_CANCEL_AGAIN_S)
