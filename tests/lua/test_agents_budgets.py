"""lease, enqueue, settle: an agent's budget of tokens in a window, and what it is charged once that is known."""

from collections.abc import Awaitable, Callable

import pytest

from sluicegate_worker.rows import Leased
from support.scripts import PRICE_US, SECOND_US, START_US, Bench, make_policy
from support.traffic import LONG_S, TOKEN_US, make_token_policy, write_usage

WINDOW_S = 100
WINDOW_US = WINDOW_S * SECOND_US  # the bench's start is a window's start
BUDGET = {"max_tokens_per_agent": 100, "tokens_window_s": WINDOW_S, "deadline_s": LONG_S}


@pytest.fixture
async def budgeted(bench: Bench) -> Bench:
    """A hundred tokens for each agent in each window."""
    await bench.apply(make_policy(**BUDGET))
    assert START_US % WINDOW_US == 0
    return bench


async def read_spent(bench: Bench, agent: str = "ann", window: int = 0) -> int:
    key = bench.keys.fixed(f"spent:{START_US // WINDOW_US + window}")
    return int(await bench.redis.hget(key, agent) or 0)


async def lease_ids(bench: Bench) -> list[str]:
    return [leased.id for leased in (await bench.lease()).leased]


async def test_who_has_spent_its_tokens_goes_on_in_the_next_window(budgeted: Bench) -> None:
    mine = await budgeted.submit("ann", 4, tokens_in=60)
    [other] = await budgeted.submit("bob", tokens_in=10)
    assert await lease_ids(budgeted) == [mine[0], other, mine[1]]  # the second goes while something is left
    assert await read_spent(budgeted) == 120
    assert [await budgeted.state(one) for one in mine] == ["run", "run", "retry", "retry"]
    [later] = await budgeted.submit("bob", tokens_in=10)
    assert await lease_ids(budgeted) == [later]  # nobody else is disturbed
    budgeted.advance(WINDOW_US - 1)
    assert await lease_ids(budgeted) == []
    budgeted.advance(1)
    assert await lease_ids(budgeted) == mine[2:]
    assert await read_spent(budgeted, window=1) == 120


async def test_what_comes_meanwhile_is_delayed_or_refused_where_that_is_too_late(budgeted: Bench) -> None:
    await budgeted.submit("ann", tokens_in=100)
    await budgeted.take()
    budgeted.advance(10 * SECOND_US)
    [patient] = await budgeted.enqueue(budgeted.order(deadline_us=90 * SECOND_US + PRICE_US))
    assert (patient.kind, patient.values) == ("delayed", (1, 90 * SECOND_US))
    [hasty] = await budgeted.enqueue(budgeted.order(deadline_us=89 * SECOND_US))
    assert (hasty.kind, hasty.values) == ("would_miss", (90 * SECOND_US, SECOND_US))
    [other] = await budgeted.enqueue(budgeted.order("bob"))
    assert (other.kind, other.values) == ("waiting", (1, PRICE_US))


async def test_what_was_really_used_is_what_is_spent(budgeted: Bench) -> None:
    await budgeted.submit("ann", 3, tokens_in=80, tokens_out=20)
    [first] = await budgeted.take()
    assert await read_spent(budgeted) == 100
    await budgeted.settle(first, usage="80 20 10 5")  # used, not counted
    assert await read_spent(budgeted) == 15
    await budgeted.settle(first, usage="80 20 10 5")
    assert await read_spent(budgeted) == 15
    assert len(await lease_ids(budgeted)) == 2
    await budgeted.settle(*budgeted.leased.values(), usage=write_usage(80))
    assert await read_spent(budgeted) == 175


async def test_what_ends_in_a_later_window_is_booked_in_none(budgeted: Bench) -> None:
    await budgeted.submit("ann", tokens_in=80)
    [leased] = await budgeted.take()
    budgeted.advance(WINDOW_US)
    await budgeted.settle(leased, usage=write_usage(500))
    assert (await read_spent(budgeted), await read_spent(budgeted, window=1)) == (80, 0)


@pytest.mark.parametrize(
    ("fault", "sent", "spent"), [("", False, 0), ("rate", True, 0), ("credentials", True, 0), ("failure", True, 80)]
)
async def test_what_was_refused_or_not_sent_has_spent_nothing(
    budgeted: Bench, fault: str, sent: bool, spent: int
) -> None:
    await budgeted.submit("ann", tokens_in=80)
    await budgeted.retry(*await budgeted.take(), fault=fault, sent=sent)
    assert await read_spent(budgeted) == spent
    await budgeted.hold(held=False)


async def test_what_was_spent_is_forgotten_a_minute_after_its_window(budgeted: Bench) -> None:
    await budgeted.submit("ann", tokens_in=80)
    await budgeted.take()
    left_ms = await budgeted.redis.pttl(budgeted.keys.fixed(f"spent:{START_US // WINDOW_US}"))
    assert 0 <= (WINDOW_S + 60) * 1000 - left_ms < 10_000


async def settle(bench: Bench, leased: Leased) -> None:
    await bench.settle(leased, usage=write_usage(30))


async def settle_more(bench: Bench, leased: Leased) -> None:
    await bench.settle(leased, usage=write_usage(90))


async def hand_back(bench: Bench, leased: Leased) -> None:
    await bench.retry(leased, sent=False, delay_us=60 * SECOND_US)


async def lose_the_lease(bench: Bench, leased: Leased) -> None:
    others = [one for one in bench.leased.values() if one.fence != leased.fence]
    bench.advance(1)
    await bench.renew("d1", *others, known_us=bench.now_us)


ENDS = [(settle, 30), (settle_more, 90), (hand_back, 0), (lose_the_lease, 0)]
End = Callable[[Bench, Leased], Awaitable[None]]


async def read_times(bench: Bench) -> tuple[float | None, float | None, float | None]:
    """Of ann: in the ring, idle, and what she was charged since she began to wait."""
    return (
        await bench.redis.zscore(bench.keys.ring("interactive"), "ann"),
        await bench.redis.zscore(bench.keys.fixed("idle"), "interactive:ann"),
        await bench.redis.zscore(bench.keys.fixed("served"), "ann"),
    )


@pytest.mark.parametrize(("end", "tokens"), ENDS)
async def test_an_agent_that_waits_is_charged_what_its_call_took(bench: Bench, end: End, tokens: int) -> None:
    await bench.apply(make_token_policy(rules={"weights": {"ann": 2}}))
    await bench.submit("ann", 2, tokens_in=60)
    await bench.submit("bob", 2, tokens_in=60)
    [leased] = await bench.take()
    assert await read_times(bench) == (60 * TOKEN_US / 2, None, 60 * TOKEN_US)
    await end(bench, leased)
    assert await read_times(bench) == (tokens * TOKEN_US / 2, None, tokens * TOKEN_US)


@pytest.mark.parametrize(("end", "tokens"), ENDS)
async def test_an_agent_without_more_work_is_charged_what_its_call_took(bench: Bench, end: End, tokens: int) -> None:
    await bench.apply(make_token_policy())
    await bench.submit("ann", tokens_in=60)
    await bench.submit("bob", 2, tokens_in=60)
    [leased] = await bench.take()
    assert leased.agent == "ann"
    assert await read_times(bench) == (None, 60 * TOKEN_US, 60 * TOKEN_US)
    await end(bench, leased)
    assert (await read_times(bench))[1:] == (tokens * TOKEN_US, tokens * TOKEN_US)


async def make_passed(bench: Bench) -> Leased:
    """A call of ann's that the lane's clock has passed: she was charged 600 µs, and it stands at 1,200."""
    await bench.apply(make_token_policy(tpm=6_000_000, rules={"weights": {}}))
    await bench.submit("ann", tokens_in=60)
    await bench.submit("bob", 5, tokens_in=60)
    grant = await bench.lease(count=4)
    assert [one.agent for one in grant.leased] == ["ann", "bob", "bob", "bob"]
    assert await read_times(bench) == (None, None, None)
    assert await bench.counter("virtual_us:interactive") == 1200
    return grant.leased[0]


@pytest.mark.parametrize(("used", "time_us"), [(30, None), (120, None), (500, 5000.0)])
async def test_who_took_more_than_the_clock_has_passed_is_charged_that(
    bench: Bench, used: int, time_us: float | None
) -> None:
    leased = await make_passed(bench)
    await bench.settle(leased, usage=write_usage(used))
    assert await read_times(bench) == (None, time_us, None)
    await bench.submit("ann", tokens_in=60)
    assert (await read_times(bench))[0] == max(1200, time_us or 0)


async def test_a_lane_that_drains_comes_out_after_what_was_corrected(bench: Bench) -> None:
    leased = await make_passed(bench)
    await bench.settle(leased, usage=write_usage(500))
    assert await bench.counter("finish_us:interactive") == 5000


async def test_a_settle_said_twice_charges_its_agent_once(bench: Bench) -> None:
    await bench.apply(make_token_policy())
    await bench.submit("ann", 2, tokens_in=60)
    [leased] = await bench.take()
    for body in (b"{}", b"{}", b"other"):
        await bench.settle(leased, body=body, usage=write_usage(90))
        assert (await read_times(bench))[0] == 90 * TOKEN_US
