"""settle: what good answers say of the limit. They only ever tighten, for others may use the same key."""

import math
from itertools import pairwise

import pytest

from support.scripts import PRICE_US, SECOND_US, Bench, make_policy, make_upstream
from support.traffic import LONG_S, TOKEN_US, make_token_policy, read_debt_us, take_slots

MINUTE_US = 60 * SECOND_US


async def hear(bench: Bench, reported: str) -> None:
    """One call whose answer says so."""
    bench.advance(SECOND_US)
    await bench.submit()
    [leased] = await bench.take()
    await bench.settle(leased, reported=reported)
    del bench.leased[leased.fence]


async def read_step_us(bench: Bench, count: int = 3) -> int:
    """How far apart the next slots are."""
    bench.advance(SECOND_US)
    await bench.submit("ann", count, tokens_in=1)
    slots: list[int] = []
    while len(slots) < count:
        slots += await take_slots(bench, count - len(slots))
        bench.advance(PRICE_US)
    [step_us] = {later - earlier for earlier, later in pairwise(slots)}
    return step_us


@pytest.mark.parametrize(
    ("limits", "rpm"),
    [
        ([3000], 3000),
        ([6000], 6000),
        ([9000], 6000),  # never above the configured one
        ([3000, 4000], 4000),
        ([3000, 9000], 6000),
        ([3000, 1000], 1000),
        ([0], 6000),  # nobody means that
    ],
)
async def test_a_reported_limit_below_ours_holds_until_a_higher_one_is_reported(
    bench: Bench, limits: list[int], rpm: int
) -> None:
    for limit in limits:
        await hear(bench, f"rpm {limit} - -")
    assert await read_step_us(bench) == MINUTE_US // rpm


async def test_a_limit_that_is_configured_below_it_holds(bench: Bench) -> None:
    await hear(bench, "rpm 3000 - -")
    await bench.apply(make_policy(rpm=600))
    assert await read_step_us(bench) == MINUTE_US // 600


async def test_it_holds_at_once_and_stretches_the_estimates(bench: Bench) -> None:
    await bench.submit("ann", 4)
    first, *_ = await bench.take(2)
    await bench.settle(first, reported="rpm 3000 - -")
    assert await bench.of_upstream("pace") == "0.5"
    assert await take_slots(bench) == [40_000, 60_000]  # the debt is stretched too
    [answer] = await bench.enqueue(bench.order())
    assert answer.values == (1, 2 * PRICE_US)


async def test_headroom_is_kept_below_a_reported_limit_too(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=(make_upstream("a", headroom=0.2),)))
    await hear(bench, "rpm 6000 - -")
    assert await read_step_us(bench) == math.ceil(MINUTE_US / 4800)
    await hear(bench, "rpm 3000 - -")
    assert await read_step_us(bench) == math.ceil(MINUTE_US / 2400)


async def test_limits_of_tokens_count_where_they_are_configured(bench: Bench) -> None:
    await bench.apply(make_token_policy(provider="anthropic", tpm=None, itpm=60_000))
    await hear(bench, "itpm 30000 - - otpm 1 - - tpm 1 - -")
    assert await read_step_us(bench) == 2 * TOKEN_US
    assert await bench.of_upstream("ceiling:otpm") is None


async def test_a_limit_of_requests_counts_though_none_is_configured(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=None))
    await hear(bench, "rpm 600 - -")
    assert await read_step_us(bench) == MINUTE_US // 600
    assert await bench.of_upstream("pace") == "1"  # there is no rate that it were a part of


async def test_what_an_earlier_call_was_told_is_old_news(bench: Bench) -> None:
    await bench.submit("ann", 3)
    first, second, third = await bench.take(3)
    await bench.settle(second, reported="rpm 3000 - -")
    await bench.settle(first, reported="rpm 1000 - -")
    assert await bench.of_upstream("ceiling:rpm") == "3000"
    await bench.settle(third)  # says nothing, and makes nothing old
    assert await bench.of_upstream("reported_us") == str(second.slot_us)


async def lease_five(bench: Bench, wait_us: int = 45_000) -> None:
    """The first slots; their debt ends 50 ms after the start."""
    await bench.submit("ann", 8)
    await bench.take(5)
    bench.advance(wait_us)


@pytest.mark.parametrize(
    ("at", "remaining", "debt_us"),
    [
        (0, 0, 95_000),  # four went out since, and the next would be one more: five are missing
        (0, 2, 75_000),
        (0, 4, 55_000),
        (0, 5, 50_000),  # enough is left
        (4, 0, 55_000),
        (4, 1, 50_000),
        (4, 1_000_000, 50_000),  # and it never loosens
    ],
)
async def test_less_than_was_handed_out_since_holds_the_bucket(
    bench: Bench, at: int, remaining: int, debt_us: int
) -> None:
    await lease_five(bench)
    await bench.settle(list(bench.leased.values())[at], reported=f"rpm - {remaining} {MINUTE_US}")
    assert await read_debt_us(bench, "rpm") == debt_us


async def test_it_never_brings_a_slot_forward(bench: Bench) -> None:
    await lease_five(bench, wait_us=5_000)
    first, *_ = bench.leased.values()
    await bench.settle(first, reported=f"rpm - 4 {MINUTE_US}")
    assert await read_debt_us(bench, "rpm") == 50_000


async def test_it_holds_only_while_the_news_are_fresh(bench: Bench) -> None:
    await lease_five(bench, wait_us=45_000)
    first, *_ = bench.leased.values()
    await bench.settle(first, reported="rpm - 0 45000")
    assert await read_debt_us(bench, "rpm") == 50_000


async def test_it_holds_no_longer_than_until_all_is_back(bench: Bench) -> None:
    await lease_five(bench, wait_us=45_000)
    first, *_ = bench.leased.values()
    await bench.settle(first, reported="rpm - 0 60000")
    assert await read_debt_us(bench, "rpm") == 60_000


async def test_it_holds_for_a_second_at_most(bench: Bench) -> None:
    await bench.apply(make_token_policy(burst_s=10, rules={"deadline_s": LONG_S}))
    await bench.submit("ann", 2, tokens_in=4000)
    first, _ = await bench.take(2)
    bench.advance(5 * SECOND_US)
    await bench.settle(first, usage="4000 0 4000 0", reported=f"tpm - 0 {MINUTE_US}")
    assert await read_debt_us(bench) == 16 * SECOND_US  # a second from now, whatever of the burst is left
    await bench.submit("ann", tokens_in=1)
    assert await take_slots(bench) == []
    bench.advance(SECOND_US)
    assert await take_slots(bench) == [6 * SECOND_US]


async def test_tokens_that_went_out_since_count_as_the_provider_counts_them(bench: Bench) -> None:
    await bench.apply(make_token_policy(provider="gemini", rules={"deadline_s": LONG_S}))
    await bench.submit("ann", 3, tokens_in=20, tokens_out=9000)
    first, *_ = await bench.take(3)
    bench.advance(60_000)
    await bench.settle(first, reported=f"tpm - 10 {MINUTE_US}")
    assert await read_debt_us(bench) == 60_000 + (40 - 10) * TOKEN_US


async def test_a_word_that_is_not_said_holds_nothing(bench: Bench) -> None:
    await lease_five(bench)
    first, second, third, *_ = bench.leased.values()
    for leased, reported in ((first, "rpm - 0 -"), (second, "rpm - - 60000000"), (third, "rpm nonsense")):
        await bench.settle(leased, reported=reported)
    assert await read_debt_us(bench, "rpm") == 50_000
