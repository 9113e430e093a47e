"""A ticket: the proof that a request was accepted, and the way to its reply."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from sluicegate.errors import InvalidRequest, ReplyTimeout
from sluicegate.inbox import Waiter
from sluicegate.wire import Reply, open_reply


def check_timeout(timeout: float | None) -> None:
    """Raises InvalidRequest for what is no time to wait; None is for ever."""
    if timeout is not None and not timeout >= 0:  # so written, it catches nan too
        raise InvalidRequest(f"timeout is a number of seconds from 0, not {timeout!r}")


class Ticket:
    """An accepted request. `position` and `eta_s` (seconds) are estimates of the moment when it was accepted."""

    def __init__(
        self, request_id: str, position: int, eta_s: float, waiter: Waiter, cancel: Callable[[str], Awaitable[str]]
    ) -> None:
        self.id = request_id
        self.position = position
        self.eta_s = eta_s
        self.waiter = waiter  # ours, not for callers
        self._cancel = cancel

    def __repr__(self) -> str:
        return f"Ticket(id={self.id!r}, position={self.position}, eta_s={self.eta_s:.3f})"

    async def reply(self, timeout: float | None = None) -> Reply:
        """Waits for the outcome, for `timeout` seconds at most. Raises ReplyTimeout (the request lives on) or what
        the outcome is."""
        check_timeout(timeout)
        try:
            if timeout is None:
                blob = await self.waiter.wait()
            else:
                async with asyncio.timeout(timeout):  # not wait_for, which before Python 3.12 can lose a cancellation
                    blob = await self.waiter.wait()
        except TimeoutError:
            raise ReplyTimeout(
                f"request {self.id} was not answered within {timeout} s; it lives on, ask again with result()"
            ) from None
        return open_reply(self.id, blob)

    async def cancel(self) -> str:
        """Ends the request and returns its final state: cancelled, or ok, dead or expired where that was there
        first."""
        return await self._cancel(self.id)


async def quietly_cancel(ticket: Ticket) -> None:
    """For who has left: out of reach or gone, it ends at its deadline."""
    with contextlib.suppress(Exception):
        await ticket.cancel()
