"""Reclaiming is bounded: by what everybody can have heard of, by the clock, and in what it takes and remembers."""

import pytest

from support.reclaims import crash, live
from support.scripts import SECOND_US, Bench, make_policy
from support.waiting import wait_until


async def test_a_crowd_is_taken_back_without_a_pause_between(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=None))
    await bench.submit("ann", 150)
    await bench.take(150, "crashed")
    await live(bench, 8)
    bench.advance(3 * SECOND_US)
    for left in (50, 0):
        await bench.lease("alive", count=0)
        assert await bench.redis.xlen(bench.keys.fixed("run")) == left


async def test_a_clock_that_went_back_delays_no_reclaim_by_the_step(bench: Bench) -> None:
    [request_id] = await bench.submit("ann")
    await bench.take(dispatcher="crashed")
    await live(bench, 4)
    await bench.redis.hset(bench.keys.fixed("sched"), "reclaim_at_us", bench.now_us + SECOND_US)
    bench.now_us -= 60 * SECOND_US
    await live(bench, 16)
    assert await bench.state(request_id) == "retry"


async def test_the_list_of_the_silent_does_not_grow_for_ever(bench: Bench) -> None:
    await bench.redis.hset(bench.keys.fixed("sched"), "silent", " " + "dispatcher " * 500)
    await bench.submit("ann")
    await crash(bench)
    silent = await bench.redis.hget(bench.keys.fixed("sched"), "silent")
    assert silent.startswith(" crashed-0 ")
    assert len(silent) <= 4096


@pytest.mark.parametrize("lease_s", [10, 3600])
async def test_a_shorter_lease_holds_once_everybody_can_have_heard_of_it(bench: Bench, lease_s: float) -> None:
    """Until then each renews in the rhythm of the longer one."""
    await bench.apply(make_policy(lease_s=lease_s))
    await bench.submit("ann", 1, deadline_us=3600 * SECOND_US)
    [held] = await bench.take()
    await live(bench, 2)
    await bench.apply(make_policy(lease_s=1))
    for _ in range(40):
        bench.advance(SECOND_US // 5)
        await bench.lease("d2", count=0)
    assert await bench.renew("d1", held) == {}
    for _ in range(20):
        bench.advance(SECOND_US // 5)
        await bench.lease("d2", count=0)
    assert await bench.state(held.id) == "retry"


async def test_who_crashed_is_struck_from_the_group_in_the_end(bench: Bench) -> None:
    """But not while it still holds something: what it was given would be forgotten with it."""
    await bench.apply(make_policy(rpm=None))
    await bench.submit("ann", 150)
    await bench.take(150, "crashed")
    await live(bench, 8)

    async def list_group() -> dict[str, int]:
        """Who is in it, and for how many milliseconds each was silent by the server's own clock."""
        found = await bench.redis.xinfo_consumers(bench.keys.fixed("run"), "dispatchers")
        return {one["name"]: one["idle"] for one in found}

    async def is_absent() -> bool:
        return (await list_group())["crashed"] > 20

    await wait_until(is_absent, "it was silent for ninety leases, which are short here")
    await bench.redis.hset(bench.keys.fixed("config"), "lease_us", 100)
    await bench.redis.hdel(bench.keys.fixed("sched"), "grace_until_us")
    for _ in range(100):
        bench.now_us += 30  # without a look at the group, which would be taken for a sign of life
        await bench.redis.hdel(bench.keys.fixed("sched"), "reclaim_at_us", "roll_call_at_us")
        await bench.lease("d2", count=1)  # the roll is called while something is in flight
    assert set(await list_group()) == {"d2"}
    held = await bench.redis.xpending(bench.keys.fixed("run"), "dispatchers")
    assert held["pending"] == await bench.redis.xlen(bench.keys.fixed("run"))
