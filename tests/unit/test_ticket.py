"""How long a caller waits for a reply: any time from nothing, or for ever."""

import asyncio
import gc
import math

import pytest

from sluicegate.errors import InvalidRequest, ReplyTimeout
from sluicegate.inbox import Waiter
from sluicegate.ticket import Ticket, check_timeout


async def cancel(request_id: str) -> str:
    return "cancelled"


def make_ticket() -> Ticket:
    """Of a request that nobody answers."""
    return Ticket("one", 1, 0.5, Waiter(math.inf), cancel)


@pytest.mark.parametrize("timeout", [None, 0, 0.0, 1.5, math.inf])
def test_a_time_to_wait(timeout: float | None) -> None:
    check_timeout(timeout)


@pytest.mark.parametrize("timeout", [math.nan, -1, -0.001, -math.inf])
async def test_what_is_no_time_to_wait_is_refused(timeout: float) -> None:
    with pytest.raises(InvalidRequest, match=rf"timeout is a number of seconds from 0, not {timeout!r}$"):
        check_timeout(timeout)
    async with asyncio.timeout(10):  # with nan, asyncio itself would never be done
        with pytest.raises(InvalidRequest, match="timeout is a number of seconds from 0"):
            await make_ticket().reply(timeout)


async def test_who_gave_up_leaves_nothing_behind() -> None:
    ticket = make_ticket()
    for _ in range(100):
        with pytest.raises(ReplyTimeout):
            await ticket.reply(0.0001)
    gc.collect()
    assert sum(isinstance(one, asyncio.Future) for one in gc.get_objects()) < 50


async def test_no_time_is_a_time() -> None:
    with pytest.raises(ReplyTimeout, match="request one was not answered within 0 s; it lives on"):
        await make_ticket().reply(0)
