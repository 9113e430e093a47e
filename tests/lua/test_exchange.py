"""exchange: a missed slot is lost, the next one comes in its place, and only for the holder."""

from support.scripts import HORIZON_US, PRICE_US, SECOND_US, START_US, Bench, make_policy, make_upstream


async def test_the_next_free_slot_comes_after_all_that_were_given(bench: Bench) -> None:
    await bench.submit("ann", 20)
    leased = await bench.take(5)
    bench.advance(30_000)
    assert await bench.exchange(leased[0], leased[1]) == [START_US + 50_000, START_US + 60_000]
    bench.advance(SECOND_US)
    assert await bench.exchange(leased[2], lead_us=20_000) == [bench.now_us + 20_000]
    [after] = (await bench.lease(count=1)).leased
    assert after.slot_us == bench.now_us + 20_000 + PRICE_US


async def test_it_costs_the_agent_nothing_and_no_attempt(bench: Bench) -> None:
    await bench.submit("ann", 2)
    [leased] = await bench.take()
    before = await bench.redis.hgetall(bench.keys.request(leased.id))
    score = await bench.redis.zscore(bench.keys.ring("interactive"), "ann")
    await bench.exchange(leased)
    assert await bench.redis.hgetall(bench.keys.request(leased.id)) == before
    assert await bench.redis.zscore(bench.keys.ring("interactive"), "ann") == score
    assert await bench.in_flight() == 1


async def test_only_the_holder_gets_one(bench: Bench) -> None:
    await bench.submit("ann", 2)
    first, second = await bench.take(2)
    await bench.cancel(first.id)
    await bench.retry(second, delay_us=0)
    last_us = await bench.redis.hget(bench.keys.upstream("a"), "last_slot_us")
    assert await bench.exchange(first, second) == [0, 0]
    assert await bench.redis.hget(bench.keys.upstream("a"), "last_slot_us") == last_us


async def test_it_may_lie_beyond_the_horizon_but_never_before_a_pause_ends(bench: Bench) -> None:
    await bench.submit("ann", 20)
    leased = await bench.take(11)
    await bench.retry(leased[0], pause_us=SECOND_US, fault="overload")
    slots = await bench.exchange(*leased[1:])
    assert slots == [START_US + SECOND_US + at * PRICE_US for at in range(10)]
    assert slots[-1] > bench.now_us + HORIZON_US


async def test_an_upstream_that_is_no_longer_in_the_policy_has_no_slots(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=(make_upstream("a"), make_upstream("b"))))
    await bench.submit("ann", 2)
    grant = await bench.lease(count=2)
    ours = {one.upstream: one for one in grant.leased}
    await bench.apply(make_policy(upstreams=(make_upstream("b"),)))
    bench.advance(SECOND_US)
    assert await bench.exchange(ours["a"], ours["b"]) == [-1, bench.now_us]
