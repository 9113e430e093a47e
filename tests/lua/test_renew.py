"""renew: keeps what is held, by its owner only, says what is not, and hands back what a lost answer left behind."""

from support.scripts import SECOND_US, Bench, make_policy

LEASE_US = 10 * SECOND_US


async def reclaim(bench: Bench, dispatcher: str = "other") -> list[str]:
    """What a lease finds that was taken back; it has no room to take anything itself."""
    await bench.lease(dispatcher, count=0)
    return [fields["id"] for _, fields in await bench.redis.xrange(bench.keys.fixed("retry"))]


async def test_what_is_renewed_is_not_taken_back(bench: Bench) -> None:
    await bench.submit("ann", 2)
    kept, left = await bench.take(2)
    for _ in range(4):
        bench.advance(3 * SECOND_US)
        assert await bench.renew("d1", kept) == {}
    assert await reclaim(bench) == [left.id]
    assert await bench.settle(kept) == ["ok"]


async def test_only_the_owner_renews(bench: Bench) -> None:
    await bench.submit()
    [leased] = await bench.take()
    for _ in range(4):
        bench.advance(3 * SECOND_US)
        assert await bench.renew("d2", leased) == {leased.fence: "lost"}
    [pending] = await bench.redis.xpending_range(bench.keys.fixed("run"), "dispatchers", "-", "+", 10)
    assert pending["consumer"] == "d1"
    assert await reclaim(bench) == [leased.id]


async def test_what_was_taken_back_stays_lost_for_who_had_it(bench: Bench) -> None:
    await bench.submit()
    [first] = await bench.take()
    bench.advance(LEASE_US // 4)
    await bench.lease("d2", count=0)
    for _ in range(3):
        bench.advance(3 * SECOND_US)
        await bench.renew("d2")
    [again] = (await bench.lease("d1")).leased  # the same dispatcher, and yet another fence
    assert (again.id, again.fence == first.fence) == (first.id, False)
    assert await bench.renew("d1", first, again) == {first.fence: "lost"}
    assert await bench.in_flight() == 1


async def test_what_has_ended_is_said_and_let_go_of(bench: Bench) -> None:
    await bench.submit("ann", 3)
    cancelled, answered, dead = await bench.take(3)
    await bench.cancel(cancelled.id)
    assert await bench.in_flight() == 3
    assert await bench.settle(answered._replace(fence="1-1")) == ["ok"]  # by somebody who had lost it
    assert await bench.bury(dead) == ["dead"]
    answer = await bench.renew("d1", cancelled, answered, dead)
    assert answer == dict.fromkeys((cancelled.fence, answered.fence, dead.fence), "ended")
    assert await bench.in_flight() == 0
    assert await bench.redis.xlen(bench.keys.fixed("run")) == 0


async def test_a_lease_whose_answer_got_lost_goes_back_as_it_came(bench: Bench) -> None:
    await bench.submit("ann", 2, on_unknown="dead")
    [unheard] = await bench.take()
    bench.advance(SECOND_US)
    [heard] = await bench.take()
    assert await bench.renew("d1", heard, known_us=bench.now_us) == {}
    assert await bench.state(unheard.id) == "retry"
    assert await bench.in_flight() == 1
    assert await bench.redis.hmget(bench.keys.request(unheard.id), "crashes", "sends") == [None, "0"]
    [again] = await bench.take()
    assert (again.id, again.sends) == (unheard.id, 1)


async def test_what_may_still_be_on_its_way_is_not_handed_back(bench: Bench) -> None:
    """A lease that is being answered is not lost: it was made after the last one that was."""
    await bench.submit("ann", 2)
    [heard] = await bench.take()
    known_us = bench.now_us
    bench.advance(SECOND_US)
    [on_its_way] = await bench.take()
    assert await bench.renew("d1", heard, known_us=known_us) == {}
    assert await bench.state(on_its_way.id) == "run"
    assert await bench.settle(heard, on_its_way) == ["ok", "ok"]


async def test_a_lost_lease_past_its_deadline_expires(bench: Bench) -> None:
    await bench.submit("ann", deadline_us=5 * SECOND_US)
    [unheard] = await bench.take()
    bench.advance(6 * SECOND_US)
    await bench.renew("d1", known_us=bench.now_us)
    assert await bench.state(unheard.id) == "expired"
    assert len(await bench.notices()) == 1


async def test_many_at_once(bench: Bench) -> None:
    """More than one command may claim, and more than Lua's stack takes at once."""
    await bench.apply(make_policy(rpm=None, max_in_flight=5000))
    held = []
    for _ in range(12):
        await bench.submit("ann", 200)
        held += await bench.take(200)
    bench.advance(3 * SECOND_US)
    assert await bench.renew("d1", *held) == {}
    for at in range(0, len(held), 200):
        await bench.settle(*held[at : at + 200])
