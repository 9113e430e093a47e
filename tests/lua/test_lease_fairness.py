"""lease: whose turn it is. I6: between two agents that both wait, service differs by at most one request of each."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.properties import PROPERTY
from support.scripts import HORIZON_US, PRICE_US, SECOND_US, Bench, make_policy

AGENTS = "abcde"
ARRIVALS = st.tuples(st.sampled_from(AGENTS), st.integers(1, 8))
STEPS = st.lists(st.tuples(st.lists(ARRIVALS, max_size=4), st.integers(0, 12)), min_size=3, max_size=25)


class Service:
    """What each pair of agents was served while both waited without a break, and the widest difference ever."""

    def __init__(self) -> None:
        self.waiting: Counter[str] = Counter()
        self.widest = 0
        self._differences: dict[tuple[str, str], list[int]] = {pair: [0] for pair in combinations(AGENTS, 2)}

    def serve(self, agent: str) -> None:
        for pair, history in self._differences.items():
            if not all(self.waiting[one] for one in pair):
                history[:] = [0]
            elif agent in pair:
                history.append(history[-1] + (1 if agent == pair[0] else -1))
                self.widest = max(self.widest, max(history) - min(history))
        self.waiting[agent] -= 1


@PROPERTY
@given(steps=STEPS)
async def test_between_agents_that_wait_service_differs_by_two_at_most(
    bench: Bench, steps: list[tuple[list[tuple[str, int]], int]]
) -> None:
    await bench.begin_again(make_policy(deadline_s=3600))
    service = Service()
    for arrivals, count in steps:
        for agent, requests in arrivals:
            await bench.submit(agent, requests)
            service.waiting[agent] += requests
        for leased in (await bench.lease(count=count)).leased if count else ():
            service.serve(leased.agent)
        bench.advance(HORIZON_US)
    assert service.widest <= 2
    await bench.come_to_rest()


async def serve(bench: Bench, count: int) -> Counter[str]:
    """Leases `count` requests, as fast as the bucket allows."""
    served: Counter[str] = Counter()
    while served.total() < count:
        grant = await bench.lease(count=count - served.total())
        assert grant.leased or grant.verdict == "turn"
        served.update(one.agent for one in grant.leased)
        bench.advance(HORIZON_US)
    return served


async def test_a_hog_gets_no_more_than_the_others(bench: Bench) -> None:
    await bench.submit("hog", 200)
    for agent in "abc":
        await bench.submit(agent, 10)
    assert await serve(bench, 40) == {"hog": 10, "a": 10, "b": 10, "c": 10}


async def test_silence_earns_nothing(bench: Bench) -> None:
    await bench.submit("busy", 200)
    await bench.submit("guest")
    await serve(bench, 60)
    await bench.submit("guest", 50)
    await bench.submit("newcomer", 50)
    assert max((await serve(bench, 30)).values()) <= 11


async def test_leaving_and_coming_back_earns_nothing(bench: Bench) -> None:
    await bench.submit("steady", 100)
    served: Counter[str] = Counter()
    for _ in range(20):
        if await bench.redis.zscore(bench.keys.ring("interactive"), "hopper") is None:
            await bench.submit("hopper")
        served += await serve(bench, 1)
    assert served == {"steady": 10, "hopper": 10}


async def test_a_lane_that_has_drained_forgives_all(bench: Bench) -> None:
    await bench.submit("hog", 30)
    await serve(bench, 30)
    await bench.lease()
    assert await bench.redis.exists(bench.keys.fixed("idle"), bench.keys.fixed("served")) == 0
    await bench.submit("hog", 10)
    await bench.submit("ann", 10)
    assert await serve(bench, 10) == {"hog": 5, "ann": 5}


async def test_served_counts_what_agents_that_wait_were_charged(bench: Bench) -> None:
    await bench.submit("ann", 10)
    await bench.submit("bob", 10)
    await serve(bench, 6)
    served = await bench.redis.zrange(bench.keys.fixed("served"), 0, -1, withscores=True)
    assert dict(served) == {"ann": 3 * PRICE_US, "bob": 3 * PRICE_US}


async def test_who_cancels_all_leaves_nothing_among_the_served(bench: Bench) -> None:
    await bench.submit("ann", 5)
    await bench.submit("bob", 5)
    await serve(bench, 5)
    await bench.cancel(*(f"r{number}" for number in range(6, 11)))
    await serve(bench, 2)
    assert await bench.redis.exists(bench.keys.fixed("served")) == 0


@pytest.mark.parametrize(("share", "batch"), [(0.05, 5), (0.25, 25), (0.3, 30), (1.0, 100)])
async def test_batch_gets_its_share_while_interactive_work_waits(bench: Bench, share: float, batch: int) -> None:
    await bench.apply(make_policy(batch_share=share))
    await bench.submit("ann", 200)
    await bench.submit("bea", 200, lane="batch")
    served = await serve(bench, 100)
    assert abs(served["bea"] - batch) <= 1


async def test_batch_takes_all_that_interactive_work_leaves(bench: Bench) -> None:
    await bench.submit("ann", 2)
    await bench.submit("bea", 10, lane="batch")
    assert await serve(bench, 12) == {"ann": 2, "bea": 10}


async def test_an_agent_in_both_lanes_is_two(bench: Bench) -> None:
    await bench.submit("ann", 20)
    await bench.submit("ann", 20, lane="batch")
    await bench.submit("bea", 20, lane="batch")
    grant = await bench.lease(count=10)
    assert Counter((one.lane, one.agent) for one in grant.leased) == {("interactive", "ann"): 10}
    assert await serve(bench, 50) == {"ann": 30, "bea": 20}


async def delay_all(bench: Bench, agent: str, count: int) -> None:
    """The first call of `count` requests of this agent has failed; all are due again now."""
    await bench.submit(agent, count)
    left = count
    while left:
        grant = await bench.lease()
        await bench.retry(*grant.leased, delay_us=SECOND_US)
        left -= len(grant.leased)
        bench.advance(HORIZON_US)
    bench.advance(SECOND_US)


@pytest.mark.parametrize(("share", "retries"), [(0.2, 10), (0.5, 25), (0.0, 1)])
async def test_retries_have_a_share_while_fresh_work_waits(bench: Bench, share: float, retries: int) -> None:
    await bench.apply(make_policy(retry_share=share))
    await delay_all(bench, "ann", 60)
    await bench.submit("bob", 200)
    assert abs((await serve(bench, 50))["ann"] - retries) <= 1


async def test_retries_take_all_slots_when_nothing_fresh_waits(bench: Bench) -> None:
    await delay_all(bench, "ann", 30)
    await bench.submit("bob", 3)
    assert await serve(bench, 33) == {"ann": 30, "bob": 3}


async def test_retries_are_charged_to_their_agent(bench: Bench) -> None:
    await bench.apply(make_policy(retry_share=1))
    await delay_all(bench, "ann", 10)
    await bench.submit("ann", 50)
    await bench.submit("bob", 50)
    served = await serve(bench, 60)
    assert abs(served["ann"] - served["bob"]) <= 2


async def test_retries_are_charged_to_an_agent_that_does_not_wait_otherwise(bench: Bench) -> None:
    await bench.apply(make_policy(retry_share=1))
    await delay_all(bench, "ann", 6)
    await bench.submit("bob", 50)
    assert await serve(bench, 6) == {"ann": 6}
    await bench.submit("ann", 50)
    served = await serve(bench, 20)
    assert 5 <= served["bob"] - served["ann"] <= 7


async def test_without_a_limit_the_pick_is_still_fair(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=None))
    await bench.submit("a-hog", 100)
    await bench.submit("zoe", 10)
    assert await serve(bench, 20) == {"a-hog": 10, "zoe": 10}
