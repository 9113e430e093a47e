"""lease, exchange: who makes the call that tells whether an upstream is well again, and that somebody does."""

from collections.abc import Awaitable, Callable

import pytest

from sluicegate_worker.rows import Leased, SettleRow
from support.breaking import RULES, end, lease_probe, open_breaker
from support.reclaims import live
from support.scripts import SECOND_US, Bench, make_policy, make_upstream
from support.traffic import LONG_S


@pytest.fixture
async def guarded(bench: Bench) -> Bench:
    """Three failures open the breaker for a second."""
    await bench.apply(make_policy(breaker=RULES, deadline_s=LONG_S))
    return bench


async def hand_back(bench: Bench, probe: Leased) -> None:
    await bench.retry(probe, sent=False)


async def cancel_it(bench: Bench, probe: Leased) -> None:
    await bench.cancel(probe.id)
    assert await bench.renew("d1", probe) == {probe.fence: "ended"}


async def cut_it(bench: Bench, probe: Leased) -> None:
    await bench.run("settle", (), [SettleRow(probe.fence, probe.id, probe.upstream, b"", "0 0 0 0", "")])


async def lose_its_lease(bench: Bench, probe: Leased) -> None:
    bench.advance(1)
    await bench.renew("d1", known_us=bench.now_us)


async def fall_silent(bench: Bench, probe: Leased) -> None:
    await live(bench, 14)


@pytest.mark.parametrize("leave", [hand_back, cancel_it, cut_it, lose_its_lease, fall_silent])
async def test_a_probe_that_nobody_makes_is_followed_by_another(
    guarded: Bench, leave: Callable[[Bench, Leased], Awaitable[None]]
) -> None:
    await open_breaker(guarded)
    probe = await lease_probe(guarded)
    await leave(guarded, probe)
    [next_probe] = (await guarded.lease()).leased
    assert (await guarded.of_upstream("breaker"), await guarded.of_upstream("probe")) == ("open", next_probe.fence)
    assert next_probe.fence != probe.fence


async def test_while_one_is_open_another_takes_its_place(bench: Bench) -> None:
    both = (make_upstream("a"), make_upstream("b", rpm=600))
    await bench.apply(make_policy(upstreams=both, breaker=RULES))
    await bench.submit("ann", 20)
    first, *others = [one for one in (await bench.lease()).leased if one.upstream == "a"]
    await bench.retry(first, fault="credentials", delay_us=0)
    assert await bench.exchange(*others[:2]) == [-1, -1]
    bench.advance(SECOND_US)
    [again, *_] = (await bench.lease()).leased
    assert (again.upstream, again.id) == ("b", first.id)
    [answer] = await bench.enqueue(bench.order(deadline_us=4 * SECOND_US))
    assert answer.kind == "waiting"


async def test_a_probe_may_exchange_its_slot_and_nobody_with_it(guarded: Bench) -> None:
    await guarded.submit("ann", 4)
    *failing, other = await guarded.take(4)
    for leased in failing:
        await end(guarded, leased, "failure")
    probe = await lease_probe(guarded)
    guarded.advance(SECOND_US)
    assert await guarded.exchange(probe, other) == [guarded.now_us, -1]


async def test_a_missed_slot_that_is_exchanged_when_its_time_is_over_makes_a_probe(guarded: Bench) -> None:
    await guarded.submit("ann", 5)
    *failing, one, other = await guarded.take(5)
    for leased in failing:
        await end(guarded, leased, "failure")
    guarded.advance(SECOND_US)
    assert await guarded.exchange(one, other) == [guarded.now_us, -1]
    assert await guarded.of_upstream("probe") == one.fence
    assert (await guarded.lease("d2")).leased == []
    await end(guarded, one)
    assert await guarded.of_upstream("breaker") is None
