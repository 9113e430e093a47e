"""lease: what nobody can read goes to the dead letters, doubles are found, and the rest goes on."""

import pytest

from support.scripts import SECOND_US, Bench, make_policy


@pytest.mark.parametrize("fields", [{"nonsense": "1"}, {"id": "no-such-request"}, {"Id": "r1", "id": "r1"}])
async def test_in_a_backlog(bench: Bench, fields: dict[str, str]) -> None:
    backlog = bench.keys.backlog("interactive", "ann")
    await bench.redis.xadd(backlog, fields)
    await bench.submit("ann")
    grant = await bench.lease()
    assert ([one.id for one in grant.leased], grant.undecodable) == (["r1"], 1)
    [letter] = await bench.dead_letters()
    assert (letter["reason"], letter["id"]) == ("undecodable", "")
    assert letter["error"].startswith(f"an entry of {backlog} that names no request: ")
    assert letter["error"].endswith(" ".join(item for pair in fields.items() for item in pair))


async def test_alone_in_a_backlog_it_leaves_no_empty_stream(bench: Bench) -> None:
    backlog = bench.keys.backlog("interactive", "ann")
    await bench.redis.xadd(backlog, {"nonsense": "1"})
    await bench.redis.zadd(bench.keys.ring("interactive"), {"ann": 0})
    grant = await bench.lease()
    assert (grant.leased, grant.undecodable) == ([], 1)
    assert await bench.redis.exists(backlog, bench.keys.ring("interactive")) == 0


async def test_in_run(bench: Bench) -> None:
    await bench.redis.xadd(bench.keys.fixed("run"), {"nonsense": "1"})
    await bench.redis.xadd(bench.keys.fixed("run"), {"id": "no-such-request"})
    await bench.submit("ann")
    grant = await bench.lease()
    assert (len(grant.leased), grant.undecodable) == (1, 2)
    assert [letter["reason"] for letter in await bench.dead_letters()] == ["undecodable"] * 2
    assert await bench.redis.xlen(bench.keys.fixed("run")) == 1


async def test_more_in_run_than_one_call_sweeps(bench: Bench) -> None:
    async with bench.redis.pipeline() as pipeline:
        for _ in range(150):
            pipeline.xadd(bench.keys.fixed("run"), {"nonsense": "1"})
        await pipeline.execute()
    await bench.submit("ann", 3)
    leased = [one for _ in range(3) for one in (await bench.lease()).leased]
    assert len(leased) == 3
    pending = await bench.redis.xpending_range(bench.keys.fixed("run"), "dispatchers", "-", "+", 200)
    assert {entry["message_id"] for entry in pending} == {one.fence for one in leased}
    assert len(await bench.dead_letters()) == 150


async def test_in_due(bench: Bench) -> None:
    await bench.redis.zadd(bench.keys.fixed("due"), {"no-such-request": 5})
    await bench.submit("ann")
    grant = await bench.lease()
    assert (len(grant.leased), grant.undecodable) == (1, 1)
    [letter] = await bench.dead_letters()
    assert letter["error"] == "an entry of due that names no request: no-such-request"
    assert await bench.redis.exists(bench.keys.fixed("due")) == 0


async def test_in_expiry(bench: Bench) -> None:
    await bench.redis.zadd(bench.keys.fixed("expiry"), {"no-such-request": 5})
    await bench.submit("ann")
    assert len((await bench.lease()).leased) == 1
    assert await bench.redis.zcard(bench.keys.fixed("expiry")) == 0


async def test_an_agent_in_the_ring_without_a_backlog(bench: Bench) -> None:
    await bench.redis.zadd(bench.keys.ring("interactive"), {f"ghost-{number}": 0 for number in range(3)})
    await bench.submit("ann")
    assert len((await bench.lease()).leased) == 1
    assert await bench.redis.exists(bench.keys.ring("interactive")) == 0


@pytest.mark.parametrize(("ghostly", "lane"), [("interactive", "batch"), ("batch", "interactive")])
async def test_a_ring_of_ghosts_does_not_hide_the_other_lane(bench: Bench, ghostly: str, lane: str) -> None:
    await bench.apply(make_policy(batch_share=1))
    await bench.redis.zadd(bench.keys.ring(ghostly), {"ghost": 0})
    await bench.submit("ann", lane=lane)
    assert [one.agent for one in (await bench.lease()).leased] == ["ann"]


async def test_after_a_hundred_ghosts_it_asks_again(bench: Bench) -> None:
    await bench.redis.zadd(bench.keys.ring("interactive"), {f"ghost-{number:03}": 0 for number in range(150)})
    await bench.submit("zoe")
    grant = await bench.lease()
    if not grant.leased:
        assert grant.verdict == "full"
        grant = await bench.lease()
    assert [one.agent for one in grant.leased] == ["zoe"]


async def test_a_double_in_run_is_only_removed(bench: Bench) -> None:
    [request_id] = await bench.submit("ann")
    await bench.redis.xadd(bench.keys.fixed("run"), {"id": request_id})
    grant = await bench.lease()
    assert ([one.id for one in grant.leased], grant.undecodable) == ([request_id], 0)
    assert await bench.redis.xlen(bench.keys.fixed("run")) == 1


async def test_a_double_in_a_backlog_is_only_removed(bench: Bench) -> None:
    [first, second] = await bench.submit("ann", 2)
    await bench.redis.xadd(bench.keys.backlog("interactive", "ann"), {"id": first})
    grant = await bench.lease()
    assert ([one.id for one in grant.leased], grant.undecodable) == ([first, second], 0)
    await bench.redis.xadd(bench.keys.backlog("interactive", "ann"), {"id": first})
    await bench.submit("ann")
    grant = await bench.lease()
    assert ([one.id for one in grant.leased], grant.undecodable) == (["r3"], 0)
    assert await bench.counter("waiting") == 0
    assert await bench.dead_letters() == []


async def test_a_double_in_due_is_only_removed(bench: Bench) -> None:
    [request_id] = await bench.submit("ann")
    await bench.redis.zadd(bench.keys.fixed("due"), {request_id: 5})
    grant = await bench.lease()
    assert ([one.id for one in grant.leased], grant.undecodable) == ([request_id], 0)
    assert await bench.dead_letters() == []


async def test_many_that_cannot_be_sent_do_not_hold_up_the_rest(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=None))
    for _ in range(250):
        await bench.redis.xadd(bench.keys.backlog("interactive", "ann"), {"nonsense": "1"})
    await bench.submit("ann", 2)
    grants = [await bench.lease() for _ in range(4)]
    assert [grant.verdict for grant in grants[:2]] == ["full", "full"]  # there is more: ask again at once
    assert sum(grant.undecodable for grant in grants) == 250
    assert sum(len(grant.leased) for grant in grants) == 2


async def test_dead_letters_end_by_age(bench: Bench) -> None:
    await bench.redis.xadd(bench.keys.fixed("dead"), {"reason": "old"}, id="1000-0")
    await bench.redis.xadd(bench.keys.fixed("run"), {"nonsense": "1"})
    await bench.lease()
    assert [letter["reason"] for letter in await bench.dead_letters()] == ["undecodable"]


async def test_many_retries_that_are_due_do_not_hide_what_was_to_be_sent_later(bench: Bench) -> None:
    await bench.submit("ann", 60)
    for _ in range(6):
        await bench.retry(*await bench.take(10), delay_us=SECOND_US)
        bench.advance(HORIZON_STEP_US)
    [later] = await bench.submit("bob", not_before_us=SECOND_US)
    bench.advance(3 * SECOND_US)
    leased: list[str] = []
    for _ in range(10):
        leased += [one.id for one in (await bench.lease()).leased]
        bench.advance(HORIZON_STEP_US)
    assert leased.count(later) == 1
    assert len(leased) == 61


HORIZON_STEP_US = 100_000


@pytest.mark.parametrize("by", [7, -7])
async def test_a_counter_that_another_hand_moved_is_right_again_at_rest(bench: Bench, by: int) -> None:
    await bench.submit("ann", 30)
    await bench.redis.hincrby(bench.keys.fixed("sched"), "waiting", by)
    bench.advance(SECOND_US)
    await bench.lease()
    bench.advance(SECOND_US)
    await bench.lease()
    bench.advance(SECOND_US)
    await bench.lease()
    assert await bench.counter("waiting") == 0


@pytest.mark.parametrize("history", ["5", "null", '"x"', "[]", "{}", '{"error":7}', "{", '{"error":"a"},'])
async def test_a_damaged_history_does_not_keep_a_request_from_its_end(bench: Bench, history: str) -> None:
    [request_id] = await bench.submit(deadline_us=SECOND_US)
    await bench.redis.hset(bench.keys.request(request_id), "history", history)
    bench.advance(SECOND_US)
    assert (await bench.lease()).expired == 1
    head = await bench.outcome(request_id)
    assert head is not None
    assert (head.state, head.error) == ("expired", None)
