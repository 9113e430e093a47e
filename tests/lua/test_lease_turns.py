"""lease, pass and the token: one dispatcher stays awake for all, and nobody sleeps too long."""

from support.scripts import HORIZON_US, SECOND_US, Bench, make_policy, make_upstream

IDLE_US = 10 * SECOND_US // 6  # a sixth of the lease
GRACE_US = 100_000


async def token(bench: Bench) -> bool:
    """Whether there is a token; takes it."""
    return await bench.redis.lpop(bench.keys.fixed("wake")) is not None


async def test_one_has_the_turn_and_the_others_wait_for_the_token(bench: Bench) -> None:
    await bench.submit("ann", 50)
    first = await bench.lease("d1")
    assert (first.verdict, first.wait_us) == ("turn", 110_000 - HORIZON_US // 2)
    second = await bench.lease("d2")
    assert (second.verdict, second.leased) == ("block", [])
    assert second.wait_us == first.wait_us + GRACE_US  # as long as the turn lasts, should its holder fail
    again = await bench.lease("d1")
    assert (again.verdict, again.wait_us) == ("turn", first.wait_us)


async def test_a_turn_that_its_holder_let_pass_goes_to_another(bench: Bench) -> None:
    await bench.submit("ann", 50)
    first = await bench.lease("d1")
    bench.advance(first.wait_us + GRACE_US - 1)
    assert (await bench.lease("d2")).verdict == "block"
    bench.advance(1)
    assert (await bench.lease("d2")).verdict == "turn"
    assert (await bench.lease("d1")).verdict == "block"


async def test_one_looks_after_the_turn_and_the_others_do_not(bench: Bench) -> None:
    await bench.submit("ann", 50)
    first = await bench.lease("d1")
    for _ in range(2):
        assert (await bench.lease("d2")).wait_us == first.wait_us + GRACE_US
        assert (await bench.lease("d3")).wait_us == IDLE_US
    bench.advance(first.wait_us + GRACE_US)
    assert (await bench.lease("d2")).verdict == "turn"
    assert (await bench.lease("d3")).wait_us < IDLE_US  # now it is the one


async def test_who_takes_the_turn_looks_after_it_no_more(bench: Bench) -> None:
    await bench.submit("ann", 50)
    await bench.lease("d1")
    await bench.lease("d2")
    await bench.pass_on("d1")
    second = await bench.lease("d2")
    assert second.verdict == "turn"
    assert (await bench.lease("d1")).wait_us == second.wait_us + GRACE_US
    assert (await bench.lease("d3")).wait_us == IDLE_US


async def test_who_is_up_for_something_else_looks_after_the_turn_no_more(bench: Bench) -> None:
    await bench.submit("ann", 50)
    first = await bench.lease("d1")
    await bench.lease("d2")
    assert (await bench.lease("d2", count=0)).verdict == "full"
    assert (await bench.lease("d3")).wait_us == first.wait_us + GRACE_US


async def test_each_turn_is_looked_after(bench: Bench) -> None:
    """By whoever can take it: who serves another upstream could not."""
    await bench.apply(make_policy(upstreams=(make_upstream("a"), make_upstream("b"))))
    await bench.submit("ann", 60)
    of_a = await bench.lease("d1", upstreams=("a",))
    of_b = await bench.lease("d2", upstreams=("b",))
    assert (of_a.verdict, of_b.verdict) == ("turn", "turn")
    for name, turn, deputy in (("a", of_a, "d3"), ("b", of_b, "d4")):
        assert (await bench.lease(deputy, upstreams=(name,))).wait_us == turn.wait_us + GRACE_US
        assert (await bench.lease("d5", upstreams=(name,))).wait_us == IDLE_US
    assert (await bench.lease("d6")).wait_us == IDLE_US


async def test_who_has_the_turn_and_who_looks_after_it_is_no_damage(bench: Bench) -> None:
    await bench.submit("ann", 50)
    await bench.lease("d1")
    await bench.lease("d2")
    assert await bench.mend() == []
    assert (await bench.lease("d3")).wait_us == IDLE_US


async def test_after_a_goodbye_another_looks_after_the_turn(bench: Bench) -> None:
    await bench.submit("ann", 50)
    first = await bench.lease("d1")
    await bench.lease("d2")
    await bench.leave("d2")
    assert (await bench.lease("d3")).wait_us == first.wait_us + GRACE_US


async def test_passing_on_puts_one_token_and_ends_the_sleep(bench: Bench) -> None:
    await bench.submit("ann", 50)
    await token(bench)
    await bench.lease("d1")
    await bench.pass_on("d1")
    await bench.pass_on("d1")
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1
    await token(bench)
    await bench.submit("bob")
    assert await token(bench)
    assert (await bench.lease("d2")).verdict == "turn"


async def test_after_a_full_lease_another_is_woken(bench: Bench) -> None:
    await bench.submit("ann", 50)
    await token(bench)
    assert (await bench.lease("d1", count=2)).verdict == "full"
    assert await token(bench)


async def test_without_work_all_block_as_long_as_an_idle_dispatcher_may(bench: Bench) -> None:
    for dispatcher in ("d1", "d2"):
        grant = await bench.lease(dispatcher)
        assert (grant.verdict, grant.wait_us) == ("block", IDLE_US)
    await bench.submit("ann")
    assert await token(bench)


async def test_when_the_work_ends_with_the_horizon_nobody_needs_the_turn(bench: Bench) -> None:
    await bench.submit("ann", 11)
    grant = await bench.lease("d1")
    assert (len(grant.leased), grant.verdict, grant.wait_us) == (11, "block", IDLE_US)


async def test_a_long_pause_is_slept_through_in_pieces(bench: Bench) -> None:
    await bench.submit("ann", 2)
    [leased] = await bench.take()
    await bench.retry(leased, pause_us=60 * SECOND_US, fault="rate")
    grant = await bench.lease("d1")
    assert (grant.verdict, grant.wait_us) == ("turn", IDLE_US)


async def test_one_is_up_in_time_for_what_comes_due(bench: Bench) -> None:
    await bench.submit("ann", not_before_us=SECOND_US)
    first, second = await bench.lease("d1"), await bench.lease("d2")
    assert (first.verdict, first.wait_us) == ("block", SECOND_US)
    assert (second.verdict, second.wait_us) == ("block", IDLE_US)
    bench.advance(300_000)
    assert (await bench.lease("d1")).wait_us == SECOND_US - 300_000  # something else had woken it
    bench.advance(-300_000)
    bench.advance(SECOND_US + GRACE_US)  # the watch was not kept
    assert len((await bench.lease("d2")).leased) == 1


async def test_a_watch_that_was_not_kept_goes_to_another(bench: Bench) -> None:
    await bench.submit("ann", not_before_us=SECOND_US)
    await bench.lease("d1")
    await bench.submit("bob", not_before_us=3 * SECOND_US)
    bench.advance(SECOND_US + GRACE_US)
    await bench.lease("d2", count=1)
    bench.advance(SECOND_US)
    assert (await bench.lease("d3")).wait_us == 3 * SECOND_US - 2 * SECOND_US - GRACE_US


async def test_each_upstream_has_its_own_turn(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=(make_upstream("a"), make_upstream("b"))))
    await bench.submit("ann", 60)
    assert (await bench.lease("d1", upstreams=("a",))).verdict == "turn"
    assert (await bench.lease("d2", upstreams=("b",))).verdict == "turn"
    assert (await bench.lease("d3", upstreams=("a", "b"))).verdict == "block"


async def test_nobody_has_the_turn_of_an_upstream_that_is_full(bench: Bench) -> None:
    await bench.apply(make_policy(max_in_flight=2))
    await bench.submit("ann", 5)
    grant = await bench.lease("d1")
    assert (len(grant.leased), grant.verdict, grant.wait_us) == (2, "block", IDLE_US)
    await token(bench)
    await bench.settle(grant.leased[0])
    assert await token(bench)
    await bench.settle(grant.leased[1])
    assert not await token(bench)  # it was not full any more


async def test_room_in_one_upstream_wakes_while_somebody_sleeps_for_another(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=(make_upstream("a"), make_upstream("b", max_in_flight=1))))
    await bench.submit("ann", 5)
    [first] = (await bench.lease("d1", count=1, upstreams=("a",))).leased
    await bench.retry(first, pause_us=60 * SECOND_US, fault="rate")
    grant = await bench.lease("d1")
    assert ([one.upstream for one in grant.leased], grant.verdict) == (["b"], "turn")
    await token(bench)
    await bench.settle(*grant.leased)
    assert await token(bench)
    bench.advance(SECOND_US)
    assert len((await bench.lease("d2")).leased) == 1


async def test_the_turn_is_up_in_time_for_the_next_deadline(bench: Bench) -> None:
    await bench.submit("ann", 2, deadline_us=SECOND_US)
    [leased] = await bench.take()
    await bench.retry(leased, pause_us=60 * SECOND_US, fault="rate")
    assert (await bench.lease("d1")).wait_us == SECOND_US
    bench.advance(SECOND_US - 60_000)
    assert (await bench.lease("d1")).wait_us == 60_000
    bench.advance(59_999)
    grant = await bench.lease("d1")
    assert (grant.verdict, grant.wait_us) == ("turn", 50_000)  # what ends a moment later is answered with it
    bench.advance(grant.wait_us)
    assert (await bench.lease("d1")).expired == 2


async def test_others_sleep_no_longer_than_the_turn_that_ends_with_a_deadline(bench: Bench) -> None:
    await bench.submit("ann", 2, deadline_us=SECOND_US)
    [leased] = await bench.take()
    await bench.retry(leased, pause_us=60 * SECOND_US, fault="rate")
    await bench.lease("d1")
    grant = await bench.lease("d2")
    assert (grant.verdict, grant.wait_us) == ("block", SECOND_US + GRACE_US)


async def test_a_full_upstream_is_no_reason_to_sleep_past_a_deadline(bench: Bench) -> None:
    await bench.apply(make_policy(max_in_flight=1))
    await bench.submit("ann", 2, deadline_us=SECOND_US)
    grant = await bench.lease("d1")
    assert (len(grant.leased), grant.verdict, grant.wait_us) == (1, "block", SECOND_US)
    bench.advance(SECOND_US)
    assert (await bench.lease("d1")).expired == 1


async def test_the_watch_is_up_in_time_for_a_deadline(bench: Bench) -> None:
    await bench.submit("ann", deadline_us=SECOND_US)
    await bench.retry(*await bench.take(), delay_us=60 * SECOND_US)
    grant = await bench.lease("d1")
    assert (grant.verdict, grant.wait_us) == ("block", SECOND_US)
    bench.advance(SECOND_US)
    assert (await bench.lease("d1")).expired == 1
