"""lease, settle, retry: limits of requests and tokens, by the minute and by the day, each an account that agrees."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.properties import PROPERTY
from support.scripts import HORIZON_US, SECOND_US, START_US, Bench
from support.traffic import (
    TOKEN_US,
    assert_agrees,
    make_token_policy,
    read_debt_us,
    read_entry,
    take_slots,
    write_usage,
)

HOUR_US = 3600 * SECOND_US
DAY_ENDS_US = (START_US // HOUR_US + 25) * HOUR_US  # when the hour of the start leaves the last day
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["lease", "lease", "settle", "twice", "silent", "rate", "failure", "unsent", "bury"]),
        st.integers(0, 300),  # tokens that were used
        st.integers(0, 200_000),  # after how many microseconds
    ),
    min_size=5,
    max_size=40,
)


@pytest.mark.parametrize(
    ("limits", "step_us"),
    [
        ({"tpm": 60_000}, 50_000),
        ({"tpm": None, "itpm": 60_000}, 20_000),
        ({"tpm": None, "otpm": 60_000}, 30_000),
        ({"tpm": 60_000, "rpm": 6000}, 50_000),
        ({"tpm": 60_000, "rpm": 1000}, 60_000),  # the latest of all says when
        ({"tpm": 60_000, "itpm": 20_000, "otpm": 60_000}, 60_000),
    ],
)
async def test_slots_are_as_far_apart_as_the_scarcest_limit_says(
    bench: Bench, limits: dict[str, Any], step_us: int
) -> None:
    await bench.apply(make_token_policy(**limits))
    await bench.submit("ann", 9, tokens_in=20, tokens_out=30)
    slots = await take_slots(bench)
    assert slots == list(range(0, HORIZON_US + 1, step_us))
    bench.advance(HORIZON_US)
    later = await take_slots(bench)
    assert later[0] == len(slots) * step_us


@pytest.mark.parametrize(
    ("provider", "asked", "reserved"),
    [
        ("openai", 400, 400),  # counts the most that was asked for
        ("anthropic", 400, 100),  # counts what comes, a quarter of what was asked for
        ("openai", -1, 256),
    ],
)
async def test_what_is_reserved_follows_the_provider(bench: Bench, provider: str, asked: int, reserved: int) -> None:
    await bench.apply(make_token_policy(provider=provider))
    await bench.submit("ann", tokens_in=10, tokens_out=400)
    await bench.settle(*await bench.take(), usage=write_usage(10, 100))
    bench.advance(SECOND_US)
    await bench.submit("ann", tokens_in=10, tokens_out=asked)
    [leased] = await bench.take()
    entry = await read_entry(bench, leased)
    assert (entry["tokens_in"], entry["tokens_out"]) == ("10", str(reserved))
    assert await read_debt_us(bench) == SECOND_US + (10 + reserved) * TOKEN_US


async def test_where_output_does_not_count_it_costs_nothing(bench: Bench) -> None:
    await bench.apply(make_token_policy(provider="gemini"))
    await bench.submit("ann", tokens_in=20, tokens_out=5000)
    await bench.take()
    assert await read_debt_us(bench) == 20 * TOKEN_US


async def lease_two(bench: Bench, **limits: Any) -> None:
    """Of 90 tokens each."""
    await bench.apply(make_token_policy(**limits))
    await bench.submit("ann", 2, tokens_in=60, tokens_out=30)
    await bench.take(2)


@pytest.mark.parametrize(("used", "debt"), [(20, 110), (90, 180), (0, 90), (130, 220)])
async def test_the_last_slot_is_settled_to_what_it_really_took(bench: Bench, used: int, debt: int) -> None:
    await lease_two(bench)
    _, last = bench.leased.values()
    await bench.settle(last, usage=write_usage(used))
    assert await read_debt_us(bench) == debt * TOKEN_US


@pytest.mark.parametrize(("used", "debt"), [(20, 180), (130, 220)])
async def test_nothing_comes_before_the_last_slot_and_its_price(bench: Bench, used: int, debt: int) -> None:
    await lease_two(bench)
    first, _ = bench.leased.values()
    await bench.settle(first, usage=write_usage(used))
    assert await read_debt_us(bench) == debt * TOKEN_US


async def test_who_shares_the_last_slot_corrects_only_its_own(bench: Bench) -> None:
    await bench.apply(make_token_policy(tpm=None, otpm=60_000))
    for tokens_out in (30, 0, 60):
        await bench.submit("ann", tokens_out=tokens_out)
    first, free, last = await bench.take(3)
    assert free.slot_us == last.slot_us
    await bench.settle(free, usage=write_usage(0, 5))
    await bench.settle(first, usage=write_usage(0, 0))
    assert await read_debt_us(bench, "otpm") == 90 * TOKEN_US


async def test_a_debt_that_lies_further_ahead_is_settled_in_full(bench: Bench) -> None:
    await bench.apply(make_token_policy(burst_s=1))
    await bench.submit("ann", 3, tokens_in=100)
    first, *_ = await bench.take(3)
    await bench.settle(first, usage=write_usage(40))
    assert await read_debt_us(bench) == 240 * TOKEN_US


async def refuse(bench: Bench) -> None:
    await bench.retry(*bench.leased.values(), fault="rate")


async def hand_back(bench: Bench) -> None:
    await bench.retry(*bench.leased.values(), sent=False)


async def fail(bench: Bench) -> None:
    await bench.retry(*bench.leased.values(), fault="failure")


async def say_nothing(bench: Bench) -> None:
    await bench.settle(*bench.leased.values())


async def lose_the_lease(bench: Bench) -> None:
    bench.advance(1)
    await bench.renew("d1", known_us=bench.now_us)


@pytest.mark.parametrize(
    ("end", "debt"), [(refuse, 0), (hand_back, 0), (lose_the_lease, 0), (fail, 80), (say_nothing, 80)]
)
async def test_what_was_refused_or_not_sent_gives_its_tokens_back_and_not_its_request(
    bench: Bench, end: Callable[[Bench], Awaitable[None]], debt: int
) -> None:
    await bench.apply(make_token_policy(rpm=600))
    await bench.submit("ann", tokens_in=80)
    await bench.take()
    assert (await read_debt_us(bench), await read_debt_us(bench, "rpm")) == (80 * TOKEN_US, 100_000)
    await end(bench)
    assert (await read_debt_us(bench), await read_debt_us(bench, "rpm")) == (debt * TOKEN_US, 100_000)
    assert [await bench.of_upstream(field) for field in ("handed_in", "settled_in", "in_flight")] == ["80", "80", "0"]


@pytest.mark.parametrize("used", [10, 150])
async def test_a_settle_said_twice_or_too_late_corrects_once(bench: Bench, used: int) -> None:
    await bench.apply(make_token_policy())
    await bench.submit("ann", tokens_in=80)
    [leased] = await bench.take()
    for body in (b"{}", b"{}", b"other"):
        await bench.settle(leased, body=body, usage=write_usage(used))
        assert await read_debt_us(bench) == used * TOKEN_US
    assert await bench.of_upstream("settled_in") == "80"


@PROPERTY
@given(moves=MOVES)
async def test_what_is_reserved_is_leased_or_settled(bench: Bench, moves: list[tuple[str, int, int]]) -> None:
    await bench.begin_again(make_token_policy(rpm=6000, rules={"max_in_flight_per_agent": 9}))
    await bench.submit("ann", 30, tokens_in=20, tokens_out=30)
    for kind, used, wait_us in moves:
        bench.advance(wait_us)
        held = list(bench.leased.values())[:1]
        if kind == "lease":
            await bench.lease(count=3)
        elif kind in ("settle", "twice", "silent"):
            for _ in range(2 if kind == "twice" else 1):
                await bench.settle(*held, usage="" if kind == "silent" else write_usage(used))
        elif kind == "bury":
            await bench.bury(*held)
        else:
            fault = "" if kind == "unsent" else kind
            await bench.retry(*held, fault=fault, sent=kind != "unsent", delay_us=wait_us)
        if kind != "lease":
            for one in held:
                del bench.leased[one.fence]
        await assert_agrees(bench)
    await bench.apply(make_token_policy(tpm=None))
    await bench.come_to_rest()


@pytest.mark.parametrize(("burst_s", "at_once"), [(0, 1), (1, 2), (5, 6)])
async def test_a_burst_lets_that_much_through_at_once(bench: Bench, burst_s: float, at_once: int) -> None:
    await bench.apply(make_token_policy(tpm=None, rpm=60, burst_s=burst_s))
    await bench.submit("ann", 9)
    assert await take_slots(bench) == [0] * at_once
    bench.advance(SECOND_US)
    assert await take_slots(bench) == [SECOND_US]


async def test_the_calls_of_a_day_open_when_its_oldest_hour_leaves(bench: Bench) -> None:
    await bench.apply(make_token_policy(tpm=None, rpm=6000, rpd=3))
    await bench.submit("ann", 6)
    assert len(await take_slots(bench, 2)) == 2
    bench.advance(HOUR_US)
    assert await take_slots(bench) == [HOUR_US]
    [refused] = await bench.enqueue(bench.order(deadline_us=12 * HOUR_US))
    assert (refused.kind, refused.values[0] > 12 * HOUR_US) == ("would_miss", True)
    for now_us in (bench.now_us + HORIZON_US, DAY_ENDS_US - 1):
        bench.advance(now_us - bench.now_us)
        assert await take_slots(bench) == []
    bench.advance(1)
    assert await take_slots(bench) == [bench.now_us - START_US, bench.now_us - START_US + 10_000]
    bench.advance(HOUR_US)
    assert len(await take_slots(bench)) == 1
    await bench.apply(make_token_policy(tpm=None))


async def test_the_tokens_of_a_day_are_settled_too(bench: Bench) -> None:
    await bench.apply(make_token_policy(tpm=None, tpd=100))
    await bench.submit("ann", 3, tokens_in=60)
    assert len(await take_slots(bench)) == 2  # the second goes while something is left
    first, second = bench.leased.values()
    await bench.retry(first, fault="failure")
    assert await take_slots(bench) == []
    await bench.settle(second, usage=write_usage(30))
    assert len(await take_slots(bench)) == 1
    bench.advance(DAY_ENDS_US - bench.now_us - 1)
    assert await take_slots(bench) == []
    bench.advance(1)
    assert len(await take_slots(bench)) == 1


async def test_a_missed_slot_is_exchanged_though_the_day_is_over(bench: Bench) -> None:
    await bench.apply(make_token_policy(tpm=None, rpm=6000, rpd=1))
    await bench.submit("ann")
    [leased] = await bench.take()
    bench.advance(SECOND_US)
    assert await bench.exchange(leased) == [bench.now_us]


@pytest.mark.parametrize(
    ("provider", "limits", "tokens", "refused"),
    [
        ("generic", {"tpm": 1000}, (600, 401), [1001, 1000]),
        ("generic", {"tpm": 1000}, (600, 400), None),
        ("openai", {"tpm": 1000}, (1001, -1), [1001, 1000]),
        ("anthropic", {"tpm": 1000}, (600, 5000), None),  # output counts as it comes
        ("anthropic", {"tpm": 1000}, (1001, 0), [1001, 1000]),
        ("gemini", {"tpm": 1000}, (600, 5000), None),
        ("gemini", {"tpm": 1000}, (1001, 0), [1001, 1000]),
        ("generic", {"tpm": None, "itpm": 500}, (501, 0), [501, 500]),
        ("generic", {"tpm": None, "otpm": 500}, (5000, 501), [501, 500]),
        ("anthropic", {"tpm": None, "otpm": 500}, (5000, 501), None),
        ("generic", {"tpm": 1000, "tpd": 800}, (801, 0), [801, 800]),
        ("generic", {"tpm": None}, (10**9, 10**9), None),
    ],
)
async def test_what_no_upstream_could_ever_admit_is_refused_at_once(
    bench: Bench, provider: str, limits: dict[str, Any], tokens: tuple[int, int], refused: list[int] | None
) -> None:
    await bench.apply(make_token_policy(provider=provider, **limits))
    [answer] = await bench.enqueue(bench.order(tokens_in=tokens[0], tokens_out=tokens[1]))
    if refused:
        assert (answer.kind, list(answer.values)) == ("too_many_tokens", refused)
    else:
        assert answer.kind == "waiting"
        await bench.cancel(answer.id)
