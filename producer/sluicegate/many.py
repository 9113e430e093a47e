"""Many requests at once: handed in together, and waited for in the order in which they end."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from sluicegate.errors import ReplyTimeout, SluicegateError
from sluicegate.ticket import Ticket

Submit = Callable[..., Awaitable[Ticket]]
Progress = Callable[[int, int], object]


async def submit_all(
    submit: Submit, requests: Iterable[Mapping[str, Any]], progress: Progress | None
) -> list[Ticket | SluicegateError]:
    """In the order of `requests`, each the arguments of `submit` by name; what was refused is its error. `progress` is
    told how many of them are done, and of how many."""
    tasks = [asyncio.ensure_future(submit(**request)) for request in requests]
    done = 0

    def count(_: object) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(tasks))

    for task in tasks:
        task.add_done_callback(count)
    try:
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:
        await asyncio.wait(tasks)  # each takes back what is on its way in
        raise
    found: list[Ticket | SluicegateError] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, SluicegateError):
            raise outcome
        found.append(outcome)
    return found


async def in_order_of_completion(
    tickets: Iterable[Ticket], timeout: float | None, progress: Progress | None
) -> AsyncGenerator[Ticket, None]:
    """Each ticket once its request has ended, so that its `reply()` is there. Raises ReplyTimeout when `timeout`
    seconds have passed before the last."""
    every = list(tickets)
    deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
    ended: asyncio.Queue[Ticket] = asyncio.Queue()
    tasks = [asyncio.create_task(_watch(ticket, ended)) for ticket in every]
    try:
        for done in range(1, len(every) + 1):
            ticket = await _next(ended, deadline, len(every) - done + 1)
            if progress is not None:
                progress(done, len(every))
            yield ticket
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(ticket: Ticket, ended: asyncio.Queue[Ticket]) -> None:
    await ticket.waiter.ended.wait()
    ended.put_nowait(ticket)


async def _next(ended: asyncio.Queue[Ticket], deadline: float | None, left: int) -> Ticket:
    try:
        async with asyncio.timeout_at(deadline):
            return await ended.get()
    except TimeoutError:
        raise ReplyTimeout(f"{left} requests were not answered in time; they live on, wait for them again") from None
