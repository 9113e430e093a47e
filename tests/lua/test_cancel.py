"""cancel: ends what is not answered yet, wherever it is."""

import pytest

from sluicegate.errors import StoreUnavailable
from support.scripts import SECOND_US, Bench


async def put(bench: Bench, where: str) -> str:
    """A request that is there now."""
    [request_id] = await bench.submit("ann", body=b"123", not_before_us=SECOND_US if where == "later" else 0)
    if where in ("run", "retry", "dead"):
        leased = await bench.take()
        if where == "retry":
            await bench.retry(*leased)
        if where == "dead":
            await bench.bury(*leased)
    return request_id


async def test_broken_off_it_has_written_the_outcome(bench: Bench) -> None:
    """What is left over then is an entry, which the next lease forgets, and never a request without an outcome."""
    [request_id] = await bench.submit("ann")
    await bench.redis.rename(bench.keys.ring("interactive"), "sg:kept")
    await bench.redis.set(bench.keys.ring("interactive"), "planted")
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        await bench.cancel(request_id)
    assert await bench.state(request_id) == "cancelled"
    await bench.redis.rename("sg:kept", bench.keys.ring("interactive"))
    assert (await bench.lease()).leased == []
    assert await bench.dead_letters() == []


@pytest.mark.parametrize("where", ["backlog", "later", "run", "retry"])
async def test_wherever_it_is(bench: Bench, where: str) -> None:
    request_id = await put(bench, where)
    bench.advance(500_000)
    assert await bench.cancel(request_id) == ["cancelled"]
    head = await bench.outcome(request_id)
    assert head is not None
    assert (head.state, head.agent, head.queued_s) == ("cancelled", "ann", 0.5)
    assert len(head.digest) == 32
    assert len(await bench.notices()) == 1
    assert await bench.redis.exists(bench.keys.request(request_id)) == 0
    assert (await bench.counter("waiting"), await bench.counter("bytes")) == (0, 0)
    for name in ("due", "retry", "expiry", "ring:interactive", "backlog:interactive:ann"):
        assert await bench.redis.exists(bench.keys.fixed(name)) == 0
    assert await bench.cancel(request_id) == ["cancelled"]
    assert await bench.counter("cancelled") == 1


async def test_in_flight_it_stays_in_run_until_its_holder_lets_go(bench: Bench) -> None:
    await bench.submit("ann", 4)
    leased = await bench.take(4)
    await bench.cancel(*(one.id for one in leased))
    assert await bench.redis.xlen(bench.keys.fixed("run")) == await bench.in_flight() == 4
    assert await bench.settle(leased[0]) == ["late"]
    assert await bench.retry(leased[1]) == ["lost"]
    assert await bench.bury(leased[2]) == ["lost"]
    assert await bench.exchange(leased[3]) == [0]
    assert await bench.redis.xlen(bench.keys.fixed("run")) == await bench.in_flight() == 1
    assert [await bench.state(one.id) for one in leased] == ["cancelled"] * 4


async def test_what_has_ended_keeps_its_outcome(bench: Bench) -> None:
    await bench.submit("ann", id="answered")
    await bench.settle(*await bench.take())
    await bench.submit("ann", id="late", deadline_us=SECOND_US)
    bench.advance(SECOND_US)
    await bench.lease()
    dead = await put(bench, "dead")
    assert await bench.cancel("answered", "late", dead, "nobody") == ["ok", "expired", "dead", "unknown"]


async def test_one_of_many_leaves_the_others_where_they_are(bench: Bench) -> None:
    await bench.submit("ann", 3)
    assert await bench.cancel("r2") == ["cancelled"]
    assert [one.id for one in await bench.take(2)] == ["r1", "r3"]


async def test_an_agent_that_cancels_keeps_what_it_was_charged(bench: Bench) -> None:
    await bench.submit("bob", 20)
    await bench.submit("ann", 20)
    await bench.lease(count=8)
    was = await bench.redis.zscore(bench.keys.ring("interactive"), "bob")
    await bench.cancel(*(f"r{number}" for number in range(1, 21)))
    assert await bench.redis.zscore(bench.keys.ring("interactive"), "bob") is None
    await bench.submit("bob")
    assert await bench.redis.zscore(bench.keys.ring("interactive"), "bob") == was
