"""What crashed its dispatchers twice is leased alone, so that no innocent request is taken along."""

import pytest

from sluicegate_worker.rows import Grant
from support.reclaims import live
from support.scripts import SECOND_US, Bench


async def make_suspects(bench: Bench, count: int = 1) -> list[str]:
    """Requests that were in flight in two dispatchers that crashed."""
    suspects = await bench.submit("sus", count, deadline_us=3600 * SECOND_US)
    for number in range(2):
        while await bench.redis.xlen(bench.keys.fixed("run")) < count:
            await bench.lease(f"crashed-{number}", count=count)
            bench.advance(SECOND_US // 10)
        await live(bench, 14)
    assert await bench.redis.zcard(bench.keys.fixed("suspects")) == count
    return suspects


def tell(grant: Grant) -> tuple[str, list[str]]:
    return grant.verdict, [leased.id for leased in grant.leased]


async def test_an_empty_dispatcher_takes_it_alone(bench: Bench) -> None:
    [suspect] = await make_suspects(bench)
    [other] = await bench.submit("ann")
    grant = await bench.lease("d1")
    assert tell(grant) == ("full", [suspect])
    assert tell(await bench.lease("d1")) == ("lone", [])
    assert tell(await bench.lease("d2"))[1] == [other]  # the others go on
    await bench.settle(*grant.leased)
    assert tell(await bench.lease("d1"))[0] != "lone"


async def test_a_busy_one_drains_first(bench: Bench) -> None:
    [suspect] = await make_suspects(bench)
    await bench.submit("ann", 3)
    await bench.redis.zadd(bench.keys.fixed("suspects"), {suspect: bench.now_us + SECOND_US})
    busy = await bench.take()
    bench.advance(SECOND_US)
    assert tell(await bench.lease("d1")) == ("lone", [])
    assert len((await bench.lease("d2", count=1)).leased) == 1
    await bench.settle(*busy)
    grant = await bench.lease("d1")
    assert [leased.id for leased in grant.leased] == [suspect]


async def test_one_in_a_pool_at_a_time(bench: Bench) -> None:
    suspects = await make_suspects(bench, 3)
    seen = []
    [first] = (await bench.lease("d1")).leased
    assert tell(await bench.lease("d2"))[1] == []
    seen.append(first.id)
    await bench.settle(first)
    for dispatcher in ("d2", "d1"):
        [lone] = (await bench.lease(dispatcher)).leased
        seen.append(lone.id)
        await bench.settle(lone)
    assert sorted(seen) == sorted(suspects)


async def test_many_suspects_do_not_keep_retries_waiting(bench: Bench) -> None:
    await make_suspects(bench, 3)
    [lone] = (await bench.lease("d1")).leased
    await bench.submit("ann")
    [fresh] = await bench.take(dispatcher="d2")
    await bench.retry(fresh, delay_us=0)
    assert [one.id for one in (await bench.lease("d2", count=1)).leased] == [fresh.id]
    await bench.settle(lone)


async def test_nobody_keeps_asking_while_suspects_wait_for_their_turn(bench: Bench) -> None:
    """Who is chosen for them comes back by itself; the others wait as long as any idle dispatcher does."""
    await make_suspects(bench, 3)
    [lone] = (await bench.lease("d1")).leased
    grant = await bench.lease("d2")
    assert (grant.verdict, grant.leased) == ("block", [])
    assert grant.wait_us > SECOND_US
    await bench.settle(lone)


async def test_who_waits_too_long_for_a_turn_alone_is_tried_in_company_once_more(bench: Bench) -> None:
    suspects = await make_suspects(bench, 3)
    [slow] = (await bench.lease("d1")).leased
    for _ in range(6):
        bench.advance(3 * SECOND_US)
        await bench.renew("d1", slow)
        assert tell(await bench.lease("d2"))[1] == []
    bench.advance(12 * SECOND_US)
    await bench.renew("d1", slow)
    others = (await bench.lease("d2")).leased
    assert {one.id for one in others} == set(suspects) - {slow.id}
    for _ in range(9):  # they crash once more, which proves nothing, for they were not alone; now they have to wait
        bench.advance(3 * SECOND_US)
        await bench.renew("d1", slow)
        assert tell(await bench.lease("d3"))[1] == []
    bench.advance(30 * SECOND_US)
    await bench.renew("d1", slow)
    assert tell(await bench.lease("d3"))[1] == []
    assert await bench.redis.zcard(bench.keys.fixed("suspects")) == 2
    await bench.settle(slow)


async def test_a_chosen_one_that_dies_while_it_drains_is_replaced(bench: Bench) -> None:
    [suspect] = await make_suspects(bench)
    await bench.redis.zadd(bench.keys.fixed("suspects"), {suspect: bench.now_us + SECOND_US})
    await bench.submit("ann")
    await bench.take()
    bench.advance(SECOND_US)
    assert tell(await bench.lease("d1")) == ("lone", [])
    assert tell(await bench.lease("d2", count=1))[1] == []
    await live(bench, 12)
    assert tell(await bench.lease("d2", count=1))[1] == [suspect]


async def test_a_chosen_one_that_leaves_is_replaced_at_once(bench: Bench) -> None:
    [suspect] = await make_suspects(bench)
    await bench.redis.zadd(bench.keys.fixed("suspects"), {suspect: bench.now_us + SECOND_US})
    await bench.submit("ann")
    busy = await bench.take()
    bench.advance(SECOND_US)
    assert tell(await bench.lease("d1")) == ("lone", [])
    await bench.settle(*busy)
    await bench.leave("d1")
    assert tell(await bench.lease("d2", count=1))[1] == [suspect]


async def test_a_suspect_that_fails_stays_one(bench: Bench) -> None:
    [suspect] = await make_suspects(bench)
    [lone] = (await bench.lease("d1")).leased
    await bench.retry(lone, delay_us=5 * SECOND_US)
    assert await bench.redis.zscore(bench.keys.fixed("suspects"), suspect) == bench.now_us + 5 * SECOND_US
    await bench.submit("ann")
    assert tell(await bench.lease("d1", count=1))[1] != []  # nobody is kept waiting until it comes due
    bench.advance(5 * SECOND_US)
    assert tell(await bench.lease("d2", count=1))[1] == [suspect]


async def test_cancelled_or_expired_it_no_longer_concerns_anybody(bench: Bench) -> None:
    first, second = await make_suspects(bench, 2)
    await bench.cancel(first, second)
    assert await bench.redis.exists(bench.keys.fixed("suspects"), bench.keys.fixed("retry")) == 0
    await bench.submit("ann")
    assert len((await bench.lease("d1")).leased) == 1


async def bring_down(bench: Bench, dispatcher: str, count: int) -> list[str]:
    """It leases up to `count` requests, and is never heard of again. Returns which they were."""
    ids = [leased.id for leased in (await bench.lease(dispatcher, count=count)).leased]
    await live(bench, 14)
    return ids


async def bring_down_others(bench: Bench, suspect: str, count: int) -> None:
    """So many dispatchers that do not hold the suspect, one after the other."""
    await bench.redis.zadd(bench.keys.fixed("suspects"), {suspect: bench.now_us + count * 20 * SECOND_US})
    for number in range(count):
        [innocent] = await bench.submit("ann")
        assert await bring_down(bench, f"killed-{number}", count=1) == [innocent]
        await bench.cancel(innocent)
    await bench.redis.zadd(bench.keys.fixed("suspects"), {suspect: bench.now_us})


@pytest.mark.parametrize(("others", "more"), [(0, 0), (2, 2), (3, 3), (9, 3)])
async def test_where_dispatchers_are_killed_anyway_it_takes_more_crashes(bench: Bench, others: int, more: int) -> None:
    """Three, the last one alone, prove nothing where others fell silent that did not hold it; six always do."""
    [suspect] = await make_suspects(bench)
    await bring_down_others(bench, suspect, others)
    for number in range(more):
        assert await bring_down(bench, f"killed-with-it-{number}", count=1) == [suspect]
        assert await bench.outcome(suspect) is None
    assert await bring_down(bench, "killed-at-last", count=1) == [suspect]
    assert await bench.state(suspect) == "dead"


async def test_of_several_that_are_poison_none_covers_for_another(bench: Bench) -> None:
    poison = await bench.submit("sus", 3)
    for number in range(40):
        if not await bring_down(bench, f"d{number}", count=2):
            break
    assert {await bench.state(one) for one in poison} == {"dead"}
    letters = await bench.dead_letters()
    assert {letter["reason"] for letter in letters} == {"poison"}
    # One dispatcher was brought down by two of them before anybody could tell: one alibi for each, and no more.
    assert max(int(letter["attempts"]) for letter in letters) == 4
