"""settle: the first result wins, is written once, and rings for everybody who waits."""

import pytest

from sluicegate.errors import StoreUnavailable
from support.scripts import SECOND_US, Bench


async def test_the_answer_is_the_reply_and_rides_in_the_notice(bench: Bench) -> None:
    [request_id] = await bench.submit("ann", key="k", body=b"123")
    [leased] = await bench.take()
    assert await bench.settle(leased, body=b'{"a":1}') == ["ok"]
    blob = await bench.redis.get(bench.keys.reply(request_id))
    assert blob.encode() == bench.reply(leased, body=b'{"a":1}')
    assert await bench.notices() == [{request_id: blob}]
    assert await bench.redis.exists(bench.keys.request(request_id)) == 0
    assert await bench.redis.xlen(bench.keys.fixed("run")) == 0
    assert (await bench.counter("ok"), await bench.counter("bytes"), await bench.in_flight()) == (1, 0, 0)


async def test_reply_inbox_and_key_live_for_the_replies_time(bench: Bench) -> None:
    [request_id] = await bench.submit("ann", key="k")
    await bench.settle(*await bench.take())
    for key in (bench.keys.reply(request_id), bench.keys.inbox("p1"), bench.keys.idempotency("ann", "k")):
        assert 3_500_000 < await bench.redis.pttl(key) <= 3_600_000


async def test_a_large_reply_is_only_announced(bench: Bench) -> None:
    [request_id] = await bench.submit()
    await bench.settle(*await bench.take(), body=b"x" * 8192)
    assert await bench.notices() == [{request_id: ""}]
    assert len(await bench.redis.get(bench.keys.reply(request_id))) > 8192


async def test_a_call_that_settles_many_writes_one_notice_per_producer(bench: Bench) -> None:
    await bench.enqueue(*(bench.order() for _ in range(3)), producer="p1")
    await bench.enqueue(*(bench.order() for _ in range(2)), producer="p2")
    await bench.settle(*await bench.take(5))
    assert [[len(fields) for fields in await bench.notices(producer)] for producer in ("p1", "p2")] == [[3], [2]]


async def test_everybody_who_watches_is_rung(bench: Bench) -> None:
    order = bench.order()
    for producer in ("p1", "p2"):
        await bench.enqueue(order, producer=producer)
    await bench.watch(order.id, producer="p3")
    await bench.settle(*await bench.take())
    assert [len(await bench.notices(producer)) for producer in ("p1", "p2", "p3")] == [1, 1, 1]


async def test_the_same_outcome_twice_changes_nothing(bench: Bench) -> None:
    await bench.submit("ann", 2)
    first, _ = await bench.take(2)
    assert await bench.settle(first, first) == ["ok", "ok"]  # the second is the first, said again
    assert await bench.settle(first, body=b"other") == ["late"]
    assert await bench.in_flight() == 1
    assert await bench.counter("late") == 1
    assert len(await bench.notices()) == 1
    blob = await bench.redis.get(bench.keys.reply(first.id))
    assert blob.encode() == bench.reply(first)


async def test_after_a_final_outcome_it_is_late_but_lets_go(bench: Bench) -> None:
    await bench.submit("ann", 3)
    cancelled, dead, settled = await bench.take(3)
    await bench.cancel(cancelled.id)
    await bench.bury(dead)
    assert await bench.settle(cancelled, dead, settled) == ["late", "late", "ok"]
    assert [await bench.state(one.id) for one in (cancelled, dead, settled)] == ["cancelled", "dead", "ok"]
    assert await bench.in_flight() == 0
    assert await bench.redis.xlen(bench.keys.fixed("run")) == 0


async def test_who_lost_the_request_still_wins_with_a_result(bench: Bench) -> None:
    await bench.submit("ann", 2)
    waiting, flying = await bench.take(2)
    await bench.retry(waiting, flying, delay_us=SECOND_US)  # somebody else gave both back
    bench.advance(SECOND_US)
    [again] = (await bench.lease("d2", count=1)).leased
    assert again.id == waiting.id
    assert await bench.settle(flying, waiting) == ["ok", "ok"]
    assert await bench.redis.exists(bench.keys.fixed("retry"), bench.keys.fixed("due")) == 0
    assert await bench.in_flight() == 1  # the second call is still under way
    assert await bench.settle(again) == ["late"]
    assert await bench.in_flight() == 0


async def test_a_result_takes_a_request_out_of_its_backlog(bench: Bench) -> None:
    await bench.submit("ann", 2)
    [first] = await bench.take()
    other = first._replace(id="r2", fence="0-1")
    assert await bench.settle(other) == ["ok"]
    assert await bench.counter("waiting") == 0
    assert await bench.redis.exists(bench.keys.backlog("interactive", "ann"), bench.keys.ring("interactive")) == 0


async def test_what_nobody_knows_is_late(bench: Bench) -> None:
    await bench.submit()
    [leased] = await bench.take()
    assert await bench.settle(leased._replace(id="nobody", fence="1-1")) == ["late"]
    assert await bench.in_flight() == 1


async def test_a_request_without_a_body_is_settled_like_any(bench: Bench) -> None:
    """Redis itself, unlike Valkey, refuses to count by minus zero."""
    await bench.enqueue(bench.order(body=b""))
    assert await bench.settle(*await bench.take()) == ["ok"]


async def test_a_damaged_inbox_costs_nobody_elses_bell(bench: Bench) -> None:
    for producer in ("p1", "p2"):
        await bench.enqueue(bench.order(), producer=producer)
    await bench.redis.set(bench.keys.inbox("p1"), "planted", ex=60)
    assert await bench.settle(*await bench.take(2)) == ["ok", "ok"]
    assert len(await bench.notices("p2")) == 1
    assert await bench.redis.hget(bench.keys.fixed("sched"), "trouble") == "1"
    await bench.redis.delete(bench.keys.inbox("p1"))


@pytest.mark.parametrize("name", ["run", "sched", "flying"])
async def test_broken_off_by_a_damaged_key_it_has_written_no_outcome(bench: Bench, name: str) -> None:
    """For what has its outcome is not rung for again."""
    await bench.submit()
    [leased] = await bench.take()
    await bench.redis.rename(bench.keys.fixed(name), "sg:kept")
    await bench.redis.set(bench.keys.fixed(name), "planted")
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        await bench.settle(leased)
    assert await bench.outcome(leased.id) is None
    await bench.redis.rename("sg:kept", bench.keys.fixed(name))
    assert await bench.settle(leased) == ["ok"]
    assert len(await bench.notices()) == 1


async def test_a_late_answer_for_a_request_that_was_replayed_takes_its_cost_along(bench: Bench) -> None:
    await bench.submit("ann", 2)
    [leased] = await bench.take()
    await bench.bury(leased)
    assert await bench.replay(leased.id) == ["replayed"]
    assert await bench.counter("waiting_cost") == 20_000
    assert await bench.settle(leased) == ["ok"]
    assert (await bench.counter("waiting"), await bench.counter("waiting_cost")) == (1, 10_000)
