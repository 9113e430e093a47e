"""retry_now: what is delayed is due at once, and still takes its turn."""

from itertools import pairwise

import pytest

from support.scripts import SECOND_US, Bench


async def delay(bench: Bench, kind: str) -> str:
    """A request that is delayed by an hour."""
    hour_us = 3600 * SECOND_US
    [request_id] = await bench.submit(not_before_us=hour_us if kind == "later" else 0, deadline_us=2 * hour_us)
    if kind != "later":
        await bench.retry(*await bench.take(), delay_us=hour_us)
    if kind == "lone":
        fields = {"id": request_id, "agent": "ann", "kind": "lone", "due_us": bench.now_us + hour_us}
        entry = await bench.redis.xadd(bench.keys.fixed("retry"), fields)
        old = (await bench.redis.hget(bench.keys.request(request_id), "place")).split()[1]
        await bench.redis.hset(bench.keys.request(request_id), "place", f"retry {entry}")
        await bench.redis.xdel(bench.keys.fixed("retry"), old)
        await bench.redis.zrem(bench.keys.fixed("due"), request_id)
        await bench.redis.zadd(bench.keys.fixed("suspects"), {request_id: bench.now_us + hour_us})
    return request_id


@pytest.mark.parametrize("kind", ["retry", "later", "lone"])
async def test_what_is_delayed_is_leased_next(kind: str, bench: Bench) -> None:
    request_id = await delay(bench, kind)
    assert (await bench.lease()).leased == []
    await bench.redis.delete(bench.keys.fixed("wake"))
    assert await bench.retry_now(request_id) == ["due"]
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1
    [leased] = await bench.take()
    assert leased.id == request_id


async def test_one_that_must_be_alone_stays_apart(bench: Bench) -> None:
    request_id = await delay(bench, "lone")
    await bench.retry_now(request_id)
    assert await bench.redis.zscore(bench.keys.fixed("suspects"), request_id) == bench.now_us
    assert await bench.redis.zscore(bench.keys.fixed("due"), request_id) is None


async def test_what_is_due_already_keeps_its_turn(bench: Bench) -> None:
    request_id = await delay(bench, "retry")
    due_us = await bench.redis.zscore(bench.keys.fixed("due"), request_id)
    bench.advance(3601 * SECOND_US)
    assert await bench.retry_now(request_id) == ["due"]
    assert await bench.redis.zscore(bench.keys.fixed("due"), request_id) == due_us


async def test_the_bucket_and_a_pause_still_hold_it(bench: Bench) -> None:
    ids = [await delay(bench, "retry") for _ in range(3)]
    await bench.retry_now(*ids)
    before = len(bench.slots)
    await bench.take(3)
    slots = bench.slots[before:]
    assert all(later - earlier >= 10_000 for earlier, later in pairwise(slots))
    paused = await delay(bench, "later")
    await bench.redis.hset(bench.keys.upstream("a"), "pause_until_us", bench.now_us + 60 * SECOND_US)
    await bench.retry_now(paused)
    assert (await bench.lease()).leased == []


async def test_what_is_not_delayed_is_named_and_left(bench: Bench) -> None:
    await bench.submit("ann", id="dead")
    await bench.bury(*await bench.take())
    await bench.submit("ann", id="ok")
    await bench.settle(*await bench.take())
    await bench.submit("ann", id="in_flight")
    await bench.take()
    await bench.submit("ann", id="waiting")
    await bench.redis.delete(bench.keys.fixed("wake"))
    ids = ["dead", "ok", "in_flight", "waiting"]
    assert await bench.retry_now(*ids, "nobody") == [*ids, "unknown"]
    assert await bench.redis.exists(bench.keys.fixed("due"), bench.keys.fixed("wake")) == 0
