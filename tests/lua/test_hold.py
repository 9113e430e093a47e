"""hold: an operator pauses a pool or one of its upstreams; nothing more is leased, and nothing is lost meanwhile."""

import pytest

from support.scripts import PRICE_US, SECOND_US, START_US, Bench, make_policy, make_upstream

TWO = (make_upstream("a"), make_upstream("b", rpm=600))


async def read_audit(bench: Bench) -> list[tuple[str, str]]:
    entries = [fields for _, fields in await bench.redis.xrange(bench.keys.fixed("audit"))]
    assert all(fields["who"] == "test" for fields in entries)
    return [(fields["what"], fields.get("upstream", "")) for fields in entries]


async def test_a_pool_that_is_held_sends_nothing_and_takes_what_comes(bench: Bench) -> None:
    await bench.submit("ann", 2)
    [flying] = await bench.take()
    assert await bench.hold() == 1
    assert await bench.settle(flying) == ["ok"]
    [answer] = await bench.enqueue(bench.order())
    assert (answer.kind, answer.values) == ("waiting", (2, 2 * PRICE_US))
    assert (await bench.lease()).leased == []
    assert await bench.hold(held=False) == 1
    assert [one.slot_us for one in (await bench.lease()).leased] == [START_US + PRICE_US, START_US + 2 * PRICE_US]


async def test_what_changes_nothing_says_so_and_is_not_written_down(bench: Bench) -> None:
    answers = [await bench.hold("a", held=held) for held in (False, True, True, False, False)]
    assert answers == [0, 1, 0, 1, 0]
    await bench.hold()
    await bench.hold(held=False)
    assert await read_audit(bench) == [
        ("apply", ""), ("pause", "a"), ("resume", "a"), ("pause", ""), ("resume", ""),
    ]  # fmt: skip


async def test_only_what_there_is_can_be_held(bench: Bench) -> None:
    assert await bench.hold("b") == b"no upstream"
    assert await bench.hold("b", held=False) == b"no upstream"
    await bench.redis.delete(bench.keys.fixed("config"))
    assert await bench.hold() == b"no pool"
    await bench.apply()


async def test_an_upstream_that_is_held_leaves_its_work_to_the_others(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=TWO))
    await bench.submit("ann", 20)
    assert await bench.hold("a") == 1
    assert [one.upstream for one in (await bench.lease()).leased] == ["b", "b"]
    assert await bench.hold("b") == 1
    bench.advance(SECOND_US)
    grant = await bench.lease()
    assert (grant.leased, grant.verdict) == ([], "block")
    assert await bench.hold("a", held=False) == 1
    assert {one.upstream for one in (await bench.lease()).leased} == {"a"}
    await bench.hold("b", held=False)


async def test_what_one_holds_the_pool_does_not_let_go(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=TWO))
    await bench.submit("ann", 3)
    await bench.hold("a")
    await bench.hold()
    await bench.hold(held=False)
    assert {one.upstream for one in (await bench.lease()).leased} == {"b"}
    await bench.hold("a", held=False)


@pytest.mark.parametrize("upstream", ["", "a"])
async def test_a_new_policy_lets_nothing_go(bench: Bench, upstream: str) -> None:
    await bench.submit()
    await bench.hold(upstream)
    await bench.apply(make_policy(rpm=60))
    await bench.apply(make_policy(rpm=60))  # the same again
    assert (await bench.lease()).leased == []
    await bench.hold(upstream, held=False)
    assert len((await bench.lease()).leased) == 1


@pytest.mark.parametrize("upstream", ["", "a"])
async def test_a_missed_slot_is_not_exchanged_while_it_is_held(bench: Bench, upstream: str) -> None:
    await bench.submit()
    [leased] = await bench.take()
    await bench.hold(upstream)
    bench.advance(SECOND_US)
    assert await bench.exchange(leased) == [-1]
    assert await bench.retry(leased, sent=False, delay_us=0) == ["delayed"]
    await bench.hold(upstream, held=False)


@pytest.mark.parametrize("upstream", ["", "a"])
async def test_deadlines_run_while_it_is_held(bench: Bench, upstream: str) -> None:
    [request_id] = await bench.submit(deadline_us=2 * SECOND_US)
    await bench.hold(upstream)
    grant = await bench.lease()
    assert (grant.verdict, grant.wait_us) == ("block", 10 * SECOND_US // 6)
    bench.advance(grant.wait_us)
    grant = await bench.lease()
    assert grant.wait_us == START_US + 2 * SECOND_US - bench.now_us
    bench.advance(grant.wait_us)
    assert (await bench.lease()).expired == 1
    assert await bench.state(request_id) == "expired"
    await bench.hold(upstream, held=False)


async def test_a_retry_that_is_due_while_the_pool_is_held_keeps_nobody_awake(bench: Bench) -> None:
    await bench.submit("ann", 2)
    now, later = await bench.take(2)
    await bench.retry(now, delay_us=0)
    await bench.retry(later, delay_us=SECOND_US)
    await bench.hold()
    grant = await bench.lease()
    assert (grant.leased, grant.verdict, grant.wait_us) == ([], "block", SECOND_US)
    bench.advance(2 * SECOND_US)
    grant = await bench.lease()
    assert (grant.verdict, grant.wait_us) == ("block", 10 * SECOND_US // 6)
    await bench.hold(held=False)
    assert len((await bench.lease()).leased) == 2


@pytest.mark.parametrize("upstream", ["", "a"])
async def test_letting_go_ends_what_the_provider_brought_about(bench: Bench, upstream: str) -> None:
    await bench.submit("ann", 3)
    first, second = await bench.take(2)
    await bench.retry(first, fault="quota", delay_us=0)
    await bench.retry(second, fault="rate", pause_us=60 * SECOND_US, delay_us=0)
    assert (await bench.lease()).verdict == "turn"
    assert await bench.hold(upstream, held=False) == 1  # though no operator held it
    left = await bench.redis.hmget(bench.keys.upstream("a"), "breaker", "breaker_reason", "pause_reason", "turn")
    assert left == [None] * 4
    bench.advance(SECOND_US // 10)
    slots = [one.slot_us for one in (await bench.lease("d2")).leased]
    assert slots == [bench.now_us + at * 17_422 for at in range(3)]  # it begins slowly


async def test_where_only_a_pause_ends_the_rate_goes_on(bench: Bench) -> None:
    await bench.submit("ann", 3)
    await bench.retry(*await bench.take(), fault="overload", pause_us=60 * SECOND_US)
    await bench.hold(held=False)
    assert [one.slot_us - START_US for one in (await bench.lease()).leased] == [PRICE_US, 2 * PRICE_US]


async def test_whoever_sleeps_is_woken_when_it_goes_on(bench: Bench) -> None:
    await bench.hold()
    await bench.redis.delete(bench.keys.fixed("wake"))
    await bench.redis.hset(bench.keys.fixed("sched"), "asleep_until_us", bench.now_us + SECOND_US)
    await bench.hold(held=False)
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1
    assert await bench.counter("asleep_until_us") == 0


async def test_an_upstream_that_is_held_says_nothing_about_when_others_open(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=(make_upstream("a"), make_upstream("b"))))
    await bench.submit()
    [leased] = await bench.take()
    await bench.retry(leased, fault="credentials")
    other = "b" if leased.upstream == "a" else "a"
    assert (await bench.enqueue(bench.order()))[0].values == (1, PRICE_US // 2)
    await bench.hold(other)
    assert (await bench.enqueue(bench.order()))[0].values == (2, 5 * SECOND_US + PRICE_US)
    await bench.hold(other, held=False)
