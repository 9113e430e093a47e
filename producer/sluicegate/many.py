"""Many requests at once: handed in together, and waited for in the order in which they end."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from sluicegate.errors import InvalidRequest, ReplyTimeout, SluicegateError
from sluicegate.submission import Order
from sluicegate.ticket import Ticket

Submit = Callable[..., Awaitable[Ticket]]
Progress = Callable[[int, int], object]

_ARGUMENTS = frozenset(Order.__struct_fields__)

_log = logging.getLogger("sluicegate.producer")


async def submit_all(
    submit: Submit, requests: Iterable[Mapping[str, Any]], progress: Progress | None
) -> list[Ticket | SluicegateError]:
    """In the order of `requests`, each the arguments of `submit` by name; what was refused is its error. `progress` is
    told how many of them are done, and of how many; what it raises is logged, and loses nothing."""
    tasks = [asyncio.ensure_future(_submit(submit, number, request)) for number, request in enumerate(requests, 1)]
    done = 0

    def count(_: object) -> None:
        nonlocal done
        done += 1
        _tell(progress, done, len(tasks))

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
            _tell(progress, done, len(every))
            yield ticket
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _submit(submit: Submit, number: int, request: Mapping[str, Any]) -> Ticket:
    if not isinstance(request, Mapping) or not {"path", "body"} <= set(request) <= _ARGUMENTS:
        raise InvalidRequest(
            f"request {number} must be a mapping with path and body, and nothing but {', '.join(sorted(_ARGUMENTS))}"
        )
    return await submit(**request)


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        try:
            progress(done, total)
        except Exception:  # noqa: BLE001  # it must not cost anybody a ticket
            _log.exception("the progress callback failed at %d of %d", done, total)


async def _watch(ticket: Ticket, ended: asyncio.Queue[Ticket]) -> None:
    await ticket.waiter.ended.wait()
    ended.put_nowait(ticket)


async def _next(ended: asyncio.Queue[Ticket], deadline: float | None, left: int) -> Ticket:
    try:
        async with asyncio.timeout_at(deadline):
            return await ended.get()
    except TimeoutError:
        raise ReplyTimeout(f"{left} requests were not answered in time; they live on, wait for them again") from None
