"""What nobody renews is taken back by a lease, but never because the server itself was away."""

import json

import pytest

from support.reclaims import crash, live
from support.scripts import SECOND_US, Bench, make_policy

LEASE_US = 10 * SECOND_US


async def test_it_comes_back_after_a_lease_and_not_before(bench: Bench) -> None:
    [request_id] = await bench.submit("ann")
    [first] = await bench.take()
    await live(bench, 8)
    assert await bench.state(request_id) == "run"
    await live(bench, 4)
    assert await bench.state(request_id) == "retry"
    assert await bench.in_flight() == 0
    [again] = await bench.take(dispatcher="d2")
    assert (again.id, again.attempts, again.sends) == (request_id, 0, 2)
    assert again.fence != first.fence
    assert again.slot_us >= first.slot_us  # through the bucket
    note = json.loads(await bench.redis.hget(bench.keys.request(request_id), "history"))
    assert (note["attempt"], note["upstream"], note["status"]) == (1, "a", None)
    assert "dispatcher d1 fell silent" in note["error"]


async def test_who_lost_it_neither_retries_nor_buries_it(bench: Bench) -> None:
    await bench.submit()
    [first] = await bench.take()
    await live(bench, 12)
    assert await bench.retry(first) == ["lost"]
    assert await bench.bury(first) == ["lost"]
    assert await bench.exchange(first) == [0]
    [again] = await bench.take(dispatcher="d2")
    assert await bench.retry(first) == ["lost"]
    assert await bench.in_flight() == 1
    assert await bench.settle(again) == ["ok"]


async def test_an_exchange_renews(bench: Bench) -> None:
    """Whoever stalled is about to send: it must not be taken for dead in the same moment."""
    await bench.submit()
    [leased] = await bench.take()
    await live(bench, 8)
    assert (await bench.exchange(leased))[0] > 0
    await live(bench, 8)
    assert await bench.state(leased.id) == "run"


async def test_after_a_silence_of_everybody_nothing_is_taken_for_a_lease(bench: Bench) -> None:
    """The server slept, not the workers: they get the time to renew."""
    await bench.submit()
    [leased] = await bench.take()
    bench.advance(3 * LEASE_US)
    await live(bench, 4)
    assert await bench.state(leased.id) == "run"
    assert await bench.renew("d1", leased) == {}
    await live(bench, 8)
    assert await bench.state(leased.id) == "run"
    await live(bench, 4)
    assert await bench.state(leased.id) == "retry"


async def test_who_renews_breaks_the_silence_too(bench: Bench) -> None:
    await bench.submit("ann", 2)
    silent, held = await bench.take(2)
    for _ in range(6):
        bench.advance(2 * SECOND_US)
        await bench.renew("d1", held)
    await bench.lease("other", count=0)
    assert await bench.state(silent.id) == "retry"


async def test_a_clock_that_went_back_counts_as_a_silence(bench: Bench) -> None:
    await bench.submit()
    [leased] = await bench.take()
    await live(bench, 8)
    bench.now_us -= 60 * SECOND_US
    await live(bench, 8)
    assert await bench.state(leased.id) == "run"
    await live(bench, 6)
    assert await bench.state(leased.id) == "retry"


async def test_past_its_deadline_it_expires_instead(bench: Bench) -> None:
    [request_id] = await bench.submit("ann", deadline_us=5 * SECOND_US)
    await bench.take()
    await live(bench, 12)
    assert await bench.state(request_id) == "expired"
    head = await bench.outcome(request_id)
    assert head is not None
    assert head.error is not None
    assert "fell silent" in head.error


async def test_a_producer_need_not_wait_for_a_dispatcher_to_learn_that_it_expired(bench: Bench) -> None:
    """With nobody left to take it back, watching answers it; but not before its holder could have."""
    [request_id] = await bench.submit("ann", deadline_us=5 * SECOND_US)
    [leased] = await bench.take()
    bench.advance(6 * SECOND_US)
    assert await bench.watch(request_id) == [[b"in_flight"]]
    bench.advance(LEASE_US)
    assert (await bench.watch(request_id))[0][0] == b"final"
    assert await bench.state(request_id) == "expired"
    assert await bench.settle(leased) == ["late"]


async def test_cancelled_in_flight_with_its_holder_it_is_only_let_go_of(bench: Bench) -> None:
    await bench.submit()
    [leased] = await bench.take()
    await bench.cancel(leased.id)
    await live(bench, 12)
    assert await bench.state(leased.id) == "cancelled"
    assert await bench.in_flight() == 0
    assert await bench.redis.xlen(bench.keys.fixed("run")) == 0
    assert await bench.counter("reclaimed") == 0


async def test_what_a_lease_delivered_before_it_broke_off_is_only_let_go_of(bench: Bench) -> None:
    """The request is still where it waited: taken back, it would be there twice."""
    [request_id] = await bench.submit()
    run = bench.keys.fixed("run")
    await bench.redis.xadd(run, {"id": request_id, "agent": "ann", "upstream": "a"})
    await bench.redis.xreadgroup("dispatchers", "d1", {run: ">"}, count=1)
    await bench.redis.hset(bench.keys.upstream("a"), "in_flight", 1)
    await bench.redis.hset(bench.keys.fixed("sched"), "spoke_us", bench.now_us)
    for _ in range(6):
        bench.advance(2 * SECOND_US)
        await bench.renew("d2")
    assert (await bench.lease("d2", count=0)).leased == []
    assert await bench.redis.xlen(run) == 0
    assert await bench.state(request_id) == "backlog"
    assert await bench.redis.exists(bench.keys.fixed("retry")) == 0
    assert await bench.counter("reclaimed") == 0


async def test_whoever_would_rather_not_pay_twice_is_not_called_twice(bench: Bench) -> None:
    [request_id] = await bench.submit("ann", on_unknown="dead")
    await bench.take()
    await live(bench, 12)
    head = await bench.outcome(request_id)
    assert head is not None
    assert (head.state, head.reason, head.attempts) == ("dead", "on_unknown", 1)
    [letter] = await bench.dead_letters()
    assert (letter["id"], letter["reason"], letter["attempts"]) == (request_id, "on_unknown", "1")
    assert await bench.in_flight() == 0


async def test_the_third_crash_is_poison(bench: Bench) -> None:
    [request_id] = await bench.submit("ann")
    await crash(bench, 2)
    assert await bench.state(request_id) == "retry"
    await crash(bench)
    head = await bench.outcome(request_id)
    assert head is not None
    assert (head.state, head.reason, head.attempts) == ("dead", "poison", 3)
    [letter] = await bench.dead_letters()
    assert letter["reason"] == "poison"
    assert len(json.loads(f"[{letter['history']}]")) == 3


@pytest.mark.parametrize("poison_after", [1, 2, 5])
async def test_poison_after_as_many_as_the_policy_says(bench: Bench, poison_after: int) -> None:
    await bench.apply(make_policy(poison_after=poison_after))
    [request_id] = await bench.submit("ann")
    await crash(bench, poison_after - 1)
    assert await bench.outcome(request_id) is None
    await crash(bench)
    assert await bench.state(request_id) == "dead"


async def test_a_hundred_and_more_come_back(bench: Bench) -> None:
    await bench.submit("ann", 150)
    await bench.apply(make_policy(rpm=None))
    await bench.take(150)
    await live(bench, 14)
    assert await bench.redis.xlen(bench.keys.fixed("retry")) == 150
    assert await bench.in_flight() == 0


async def test_a_dead_one_behind_many_that_live(bench: Bench) -> None:
    """Long calls that are renewed must not hide a short one that is not."""
    await bench.apply(make_policy(rpm=None))
    await bench.submit("ann", 151)
    *living, dead = await bench.take(151)
    for _ in range(6):
        bench.advance(2 * SECOND_US)
        await bench.renew("d1", *living)
    await bench.lease("other", count=0)
    assert await bench.state(dead.id) == "retry"
    await bench.settle(*living[:100])
    await bench.settle(*living[100:])


async def test_a_ghost_of_a_deleted_entry_is_let_go_of(bench: Bench) -> None:
    await bench.submit()
    [leased] = await bench.take()
    await bench.settle(leased)
    entry = await bench.redis.xadd(bench.keys.fixed("run"), {"id": "nobody"})
    await bench.redis.xreadgroup("dispatchers", "d1", {bench.keys.fixed("run"): ">"})
    await bench.redis.xdel(bench.keys.fixed("run"), entry)
    await bench.submit(not_before_us=60 * SECOND_US)  # so that leases have something to look at
    bench.advance(SECOND_US)
    await bench.submit()
    [flying] = await bench.take(dispatcher="d2")
    for _ in range(7):
        bench.advance(2 * SECOND_US)
        await bench.renew("d2", flying)
    await bench.lease("d2", count=0)
    assert (await bench.redis.xpending(bench.keys.fixed("run"), "dispatchers"))["pending"] == 1


async def test_a_group_destroyed_in_mid_flight_costs_nothing(bench: Bench) -> None:
    """What flies goes back to its holder; what it settles meanwhile is settled."""
    await bench.submit("ann", 2)
    settled, flying = await bench.take(2)
    await bench.redis.xgroup_destroy(bench.keys.fixed("run"), "dispatchers")
    assert await bench.settle(settled) == ["ok"]
    await bench.redis.xgroup_create(bench.keys.fixed("run"), "dispatchers", "0")
    assert (await bench.lease("d2")).undecodable == 0
    assert await bench.renew("d1", flying) == {}
    assert await bench.in_flight() == 1
    assert await bench.settle(flying) == ["ok"]


async def test_a_crash_in_company_is_not_poison(bench: Bench) -> None:
    """The policy has become stricter since it was leased: it gets its chance alone all the same."""
    await bench.apply(make_policy(poison_after=5))
    [request_id] = await bench.submit("ann")
    await crash(bench, 2)
    await bench.take(dispatcher="crashed")
    await bench.apply(make_policy(poison_after=3))
    await live(bench, 14)
    assert await bench.outcome(request_id) is None
    assert await bench.redis.zscore(bench.keys.fixed("suspects"), request_id) is not None
