"""A field of one request that another's hand has damaged: it ends, its caller is told, and everybody else is served."""

import pytest

from support.packed import FACTS, replace_fact
from support.scripts import SECOND_US, Bench

DAMAGE = [
    ("place", "retry 99999999999999999999999-0"),
    ("place", "backlog 1-99999999999999999999999"),
    ("place", "run 5"),
    ("bytes", "1.5"),
    ("bytes", "x"),
    ("attempts", "abc"),
    ("sends", "-1"),
    ("deadline_us", "9" * 40),
    ("accepted_us", ""),
    ("digest", "?"),
    ("lane", "express"),
    ("agent", "?"),
    ("facts", None),
]
damages = pytest.mark.parametrize(("field", "value"), DAMAGE)


async def damage(bench: Bench, request_id: str, field: str, value: str | None) -> None:
    key = bench.keys.request(request_id)
    if field in FACTS and value is not None:
        facts = replace_fact(str(await bench.redis.hget(key, "facts")), field, value)
        await bench.redis.hset(key, "facts", facts)
    else:
        await (bench.redis.hdel(key, field) if value is None else bench.redis.hset(key, field, value))


async def assert_told(bench: Bench, request_id: str) -> None:
    """It has its outcome, and nothing of it is left but that and a letter."""
    assert await bench.outcome(request_id) is not None
    assert await bench.redis.exists(bench.keys.request(request_id)) == 0


@damages
async def test_while_it_waits(bench: Bench, field: str, value: str | None) -> None:
    bad, good = await bench.submit("ann", 2)
    await damage(bench, bad, field, value)
    leased = (await bench.lease(count=9)).leased
    assert good in {one.id for one in leased}
    assert set(await bench.settle(*leased)) == {"ok"}
    await assert_told(bench, bad)


@damages
@pytest.mark.parametrize("script", ["settle", "retry", "bury"])
async def test_while_it_is_in_flight(bench: Bench, script: str, field: str, value: str | None) -> None:
    bad, good = await bench.submit("ann", 2)
    leased = await bench.take(2)
    await damage(bench, bad, field, value)
    answers = dict(zip((one.id for one in leased), await getattr(bench, script)(*leased), strict=True))
    assert answers[good] == {"settle": "ok", "retry": "delayed", "bury": "dead"}[script]
    if field == "place" and script != "settle":  # nobody holds it any more, by what it says
        assert answers[bad] == "lost"
        await bench.cancel(bad)
    await assert_told(bench, bad)


@damages
async def test_while_it_is_delayed(bench: Bench, field: str, value: str | None) -> None:
    bad, good = await bench.submit("ann", 2)
    await bench.retry(*await bench.take(2), delay_us=SECOND_US)
    await damage(bench, bad, field, value)
    bench.advance(2 * SECOND_US)
    leased = (await bench.lease(count=9)).leased
    assert good in {one.id for one in leased}
    await bench.settle(*leased)
    await assert_told(bench, bad)


@damages
async def test_whoever_cancels_it_is_told(bench: Bench, field: str, value: str | None) -> None:
    [bad] = await bench.submit("ann")
    await damage(bench, bad, field, value)
    assert await bench.cancel(bad) == ["dead"]
    await assert_told(bench, bad)


@damages
async def test_whoever_looks_for_it_is_told(bench: Bench, field: str, value: str | None) -> None:
    [bad] = await bench.submit("ann")
    await damage(bench, bad, field, value)
    assert [kind for kind, *_ in await bench.watch(bad)] == [b"final"]
    await assert_told(bench, bad)


@damages
async def test_it_expires_like_any(bench: Bench, field: str, value: str | None) -> None:
    bad, good = await bench.submit("ann", 2, deadline_us=5 * SECOND_US)
    await damage(bench, bad, field, value)
    bench.advance(6 * SECOND_US)
    await bench.lease(count=0)
    assert await bench.state(good) == "expired"
    await assert_told(bench, bad)


async def test_without_a_policy_what_was_paid_for_is_kept_and_nothing_is_lost(bench: Bench) -> None:
    """Somebody has deleted it; the first dispatcher that comes brings another."""
    waiting, cancelled = await bench.submit("ann", 2)
    [held] = await bench.enqueue(bench.order("bob"))
    del held
    [leased] = await bench.take()
    await bench.redis.delete(bench.keys.fixed("config"))
    assert await bench.settle(leased) == ["ok"]
    assert await bench.cancel(cancelled) == ["cancelled"]
    await bench.apply()
    rest = (await bench.lease(count=9)).leased
    assert cancelled not in {one.id for one in rest}
    await bench.settle(*rest)
    assert await bench.state(waiting) == "ok"
