"""Ours: the real scripts on a real server in virtual time, as the tests run them. The provider refuses nothing."""

import asyncio
from collections.abc import Sequence
from itertools import groupby

from bench.scheduling.ledger import Step
from bench.scheduling.loads import Arrival, Limits
from sluicegate.wire import Submission
from sluicegate_worker.rows import Leased
from support.scripts import START_US, Bench, make_policy, make_upstream
from support.virtual_traffic import Event, Provider, VirtualTraffic

# Nothing is refused and nothing expires, so that all schedulers have the same requests to choose from.
ENDLESS_S = 86_400
MANY = 1_000_000


def serve_alone(url: str, arrivals: Sequence[Arrival], limits: Limits, until_us: int) -> list[Step]:
    """For who has no event loop: a process of its own, perhaps."""
    return asyncio.run(serve(url, arrivals, limits, until_us))


async def serve(url: str, arrivals: Sequence[Arrival], limits: Limits, until_us: int) -> list[Step]:
    """What happens, in order. The server must have nothing of value: it is emptied before and after."""
    upstream = make_upstream("a", rpm=limits.rpm, tpm=limits.tpm, headroom=limits.headroom)
    policy = make_policy(
        upstreams=(upstream,), max_backlog=MANY, max_backlog_per_agent=MANY, deadline_s=ENDLESS_S, lease_s=60
    )
    async with Bench(url) as bench:
        await bench.begin_again(policy)
        steps: list[Step] = []
        sizes: dict[str, int] = {}

        def note_lease(leased: Leased) -> None:
            wait_us = max(leased.slot_us, bench.now_us) - leased.accepted_us
            steps.append(Step(bench.now_us - START_US, leased.agent, sizes[leased.id], wait_us, arrives=False))

        traffic = VirtualTraffic(bench, {"a": Provider.make()}, on_lease=note_lease)
        for at_us, together in groupby(arrivals, lambda arrival: arrival.at_us):
            orders = []
            for arrival in together:
                orders.append(bench.order(arrival.agent, tokens_in=arrival.tokens_in, tokens_out=arrival.tokens_out))
                sizes[orders[-1].id] = arrival.tokens
            traffic.at(START_US + at_us, _arriving(traffic, at_us, orders, steps))
        await traffic.run(START_US + until_us)
        await bench.begin_again(policy)
    if traffic.refused:
        raise RuntimeError(f"{traffic.refused} requests were refused: this compares schedulers, not limits")
    return steps


def _arriving(traffic: VirtualTraffic, at_us: int, orders: Sequence[Submission], steps: list[Step]) -> Event:
    async def arrive() -> None:
        steps.extend(Step(at_us, order.agent, 0, 0, arrives=True) for order in orders)
        await traffic.submit(*orders)

    return arrive
