"""A dispatcher that drains: what it still holds stays its own until it is finished, however long that takes."""

import asyncio

import pytest

from sluicegate import AsyncProducer
from sluicegate_worker import Dispatcher
from support.pools import chat, make_settings
from support.served_pool import PATH
from support.upstream import Upstream, answer, once
from support.waiting import make_alarm, wait_until

pytestmark = pytest.mark.usefixtures("at_rest")

LEASE_S = 1.0


async def test_what_it_finishes_is_taken_over_by_nobody(
    redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    gate = asyncio.Event()
    upstream.next_up.append(once(gate, answer()))
    settings = make_settings(redis_url, upstream.base_url, lease_s=LEASE_S)
    async with Dispatcher(settings) as drained:
        ticket = await producer.submit(PATH, chat())
        await wait_until(lambda: upstream.arrivals, "its call is in flight")
        async with Dispatcher(settings):
            drained.stop()
            await wait_until(make_alarm(4 * LEASE_S), "four leases have passed")
            gate.set()
            assert (await ticket.reply()).attempts == 1
    assert len(upstream.arrivals) == 1
