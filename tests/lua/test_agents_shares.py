"""lease, settle, retry: what one agent may have: its share by weight, its calls in flight, its tokens in a window."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.rows import Leased
from support.properties import PROPERTY
from support.scripts import HORIZON_US, SECOND_US, Bench, make_policy
from support.traffic import make_token_policy

WEIGHTS = {"a": 1, "b": 2, "c": 4, "d": 0.5}
ARRIVALS = st.tuples(st.sampled_from(sorted(WEIGHTS)), st.integers(1, 6), st.integers(1, 60))  # agent, requests, tokens
STEPS = st.lists(st.tuples(st.lists(ARRIVALS, max_size=4), st.integers(0, 8)), min_size=3, max_size=20)


async def serve(bench: Bench, count: int) -> Counter[str]:
    """Leases and answers `count` requests, as fast as the bucket allows."""
    served: Counter[str] = Counter()
    while served.total() < count:
        leased = (await bench.lease(count=count - served.total())).leased
        served.update(one.agent for one in leased)
        await bench.settle(*leased)
        bench.advance(HORIZON_US)
    return served


async def read_time_us(bench: Bench, agent: str, lane: str = "interactive") -> float | None:
    """Its virtual time, wherever that is kept."""
    time: float | None = await bench.redis.zscore(bench.keys.ring(lane), agent)
    if time is None:
        time = await bench.redis.zscore(bench.keys.fixed("idle"), f"{lane}:{agent}")
    return time


@pytest.mark.parametrize(
    ("weights", "served"),
    [
        ({}, {"plan-1": 10, "ann": 10, "bob": 10}),
        ({"plan-*": 4}, {"plan-1": 20, "ann": 5, "bob": 5}),
        ({"plan-*": 4, "plan-1": 1, "*": 2}, {"plan-1": 15, "ann": 8, "bob": 7}),  # the first that fits counts
        ({"[ab]*": 0.5}, {"plan-1": 15, "ann": 8, "bob": 7}),
        ({"b?b": 3, "bo": 100, "ob": 100}, {"plan-1": 6, "ann": 6, "bob": 18}),  # the whole name
    ],
)
async def test_shares_are_in_proportion_to_weights(
    bench: Bench, weights: dict[str, float], served: dict[str, int]
) -> None:
    await bench.apply(make_policy(weights=weights))
    for agent in ("plan-1", "ann", "bob"):
        await bench.submit(agent, 40)
    found = await serve(bench, 30)
    assert all(abs(found[agent] - count) <= 1 for agent, count in served.items()), found


class Service:
    """What each pair was served, by weight, while both waited without a break, and what broke the bound."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[int]] = {agent: [] for agent in WEIGHTS}
        self.excess: list[str] = []
        self._largest = dict.fromkeys(WEIGHTS, 0)
        self._differences: dict[tuple[str, str], list[float]] = {pair: [0.0] for pair in combinations(WEIGHTS, 2)}

    def accept(self, agent: str, cost: int) -> None:
        self.waiting[agent].append(cost)
        self._largest[agent] = max(self._largest[agent], cost)

    def serve(self, agent: str) -> None:
        cost = self.waiting[agent][0]
        for pair, history in self._differences.items():
            if not all(self.waiting[one] for one in pair):
                history[:] = [0.0]
            elif agent in pair:
                history.append(history[-1] + (1 if agent == pair[0] else -1) * cost / WEIGHTS[agent])
                bound = sum(self._largest[one] / WEIGHTS[one] for one in pair)
                if max(history) - min(history) > bound + 1:
                    self.excess.append(f"{pair}: {max(history) - min(history)} > {bound}")
        del self.waiting[agent][0]


@PROPERTY
@given(steps=STEPS)
async def test_between_agents_that_wait_service_by_weight_differs_by_a_request_of_each(
    bench: Bench, steps: list[tuple[list[tuple[str, int, int]], int]]
) -> None:
    await bench.begin_again(make_token_policy(tpm=6_000_000, rules={"weights": WEIGHTS}))
    service = Service()
    for arrivals, count in steps:
        for agent, requests, tokens in arrivals:
            await bench.submit(agent, requests, tokens_in=tokens)
            for _ in range(requests):
                service.accept(agent, tokens * 10)
        for leased in (await bench.lease(count=count)).leased if count else ():
            service.serve(leased.agent)
        bench.advance(HORIZON_US)
    assert service.excess == []


@pytest.fixture
async def capped(bench: Bench) -> Bench:
    """Two calls at a time for each agent."""
    await bench.apply(make_policy(max_in_flight_per_agent=2))
    return bench


async def lease_all(bench: Bench) -> list[Leased]:
    bench.advance(SECOND_US)
    return (await bench.lease()).leased


async def test_an_agent_at_its_cap_waits_until_one_of_its_calls_ends(capped: Bench) -> None:
    await capped.submit("hog", 5)
    await capped.submit("ann", 1)
    assert Counter(one.agent for one in await lease_all(capped)) == {"hog": 2, "ann": 1}
    assert await capped.redis.zscore(capped.keys.ring("interactive"), "hog") is None
    assert await lease_all(capped) == []
    await capped.submit("hog")  # to ask for more does not help
    assert await lease_all(capped) == []
    await capped.redis.delete(capped.keys.fixed("wake"))
    await capped.settle(next(one for one in capped.leased.values() if one.agent == "hog"))
    assert await capped.redis.llen(capped.keys.fixed("wake")) == 1
    assert [one.agent for one in await lease_all(capped)] == ["hog"]


@pytest.mark.parametrize("ends", ["settle", "retry", "bury", "cancel", "silence"])
async def test_it_takes_part_again_however_the_call_ends(capped: Bench, ends: str) -> None:
    await capped.submit("hog", 4)
    _, leased = await lease_all(capped)
    if ends == "cancel":
        await capped.cancel(leased.id)
        await capped.renew("d1", *capped.leased.values())
    elif ends == "silence":
        await capped.renew("d1", leased)
        for _ in range(7):
            capped.advance(2 * SECOND_US)
            await capped.renew("d1", next(iter(capped.leased.values())))
            await capped.lease("d2", count=0)
    elif ends == "retry":
        await capped.retry(leased, delay_us=60 * SECOND_US)
    else:
        await (capped.bury(leased) if ends == "bury" else capped.settle(leased))
    assert [one.agent for one in await lease_all(capped)] == ["hog"]
    assert await capped.redis.hget(capped.keys.fixed("flying"), "hog") == "2"


async def test_both_lanes_count_together(capped: Bench) -> None:
    await capped.submit("hog", 3)
    await capped.submit("hog", 3, lane="batch")
    for _ in range(3):
        two = await lease_all(capped)
        assert len(two) == 2
        assert await lease_all(capped) == []
        await capped.settle(*two)


@pytest.mark.parametrize("kind", ["due", "suspects"])
async def test_retries_of_an_agent_at_its_cap_wait(capped: Bench, kind: str) -> None:
    await capped.submit("hog", 3)
    first, second = await lease_all(capped)
    await capped.retry(first)
    await capped.take()
    if kind == "suspects":
        await capped.redis.zrem(capped.keys.fixed("due"), first.id)
        await capped.redis.zadd(capped.keys.fixed("suspects"), {first.id: capped.now_us + SECOND_US})
    await capped.submit("ann")
    for served in (["ann"] if kind == "due" else [], []):
        capped.advance(SECOND_US)
        assert [one.agent for one in (await capped.lease("d2")).leased] == served
    assert await capped.redis.zscore(capped.keys.fixed(kind), first.id) == capped.now_us + SECOND_US
    await capped.settle(second)
    capped.advance(SECOND_US)
    assert [one.id for one in (await capped.lease("d2")).leased] == [first.id]


async def test_a_cap_that_is_raised_or_lifted_holds_nobody_back(capped: Bench) -> None:
    await capped.submit("hog", 9)
    await lease_all(capped)
    for cap, more in ((3, 1), (None, 6)):
        await capped.apply(make_policy(max_in_flight_per_agent=cap))
        assert len(await lease_all(capped)) == more


async def test_a_cap_that_is_lowered_holds_at_once(capped: Bench) -> None:
    await capped.apply(make_policy(max_in_flight_per_agent=4))
    await capped.submit("hog", 9)
    assert len((await capped.lease(count=3)).leased) == 3
    await capped.apply(make_policy(max_in_flight_per_agent=2))
    assert await lease_all(capped) == []


async def test_who_was_kept_out_by_a_wrong_count_takes_part_again(capped: Bench) -> None:
    await capped.redis.hset(capped.keys.fixed("flying"), "ann", 7)
    await capped.submit("ann")
    assert len(await lease_all(capped)) == 1
