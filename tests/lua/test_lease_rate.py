"""lease and exchange: one rate for any number of dispatchers. I4, exactly, whatever they do and in whatever order."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.script_terms import price_us
from support.properties import PROPERTY
from support.scripts import HORIZON_US, SECOND_US, START_US, Bench, make_policy, make_upstream

DISPATCHERS = st.integers(1, 8)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["lease", "lease", "lease", "exchange", "settle", "retry"]),
        st.integers(0, 7),  # whose move it is
        st.integers(0, 150_000),  # after how many microseconds
        st.sampled_from([0, 0, 7_001, 30_000, 90_000]),  # lead
        st.integers(1, 12),  # how many
    ),
    min_size=20,
    max_size=60,
)
Move = tuple[str, int, int, int, int]


def find_excess(slots: list[int], rpm: float) -> list[str]:
    """Every window that begins with a slot and holds more than ⌊rate·w⌋ + 1, for all widths that make a difference."""
    ordered = sorted(slots)
    return [
        f"{last - first + 1} in {ordered[last] - ordered[first]} µs"
        for first, last in combinations(range(len(ordered)), 2)
        if last - first > rpm * (ordered[last] - ordered[first]) / 60_000_000
    ]


def test_an_excess_is_found() -> None:
    assert find_excess([0, 10_000, 20_000], 6000) == []
    assert find_excess([0, 10_000, 19_999], 6000)
    assert find_excess([5, 5], 6000) == ["2 in 0 µs"]


async def play(bench: Bench, moves: list[Move], dispatchers: int) -> None:
    """Makes the moves; a request that was exchanged stays with its dispatcher, as it does in earnest."""
    for kind, player, wait_us, lead_us, count in moves:
        bench.advance(wait_us)
        dispatcher = f"d{player % dispatchers}"
        held = list(bench.leased.values())[:count]
        if kind == "lease" or not held:
            await bench.lease(dispatcher, count=count, lead_us=lead_us)
        elif kind == "exchange":
            await bench.exchange(*held, lead_us=lead_us)
        else:
            await (bench.settle(*held) if kind == "settle" else bench.retry(*held, delay_us=wait_us))
            for one in held:
                del bench.leased[one.fence]


@PROPERTY
@given(moves=MOVES, dispatchers=DISPATCHERS, rpm=st.sampled_from([600, 1170, 6000, 60_000]))
async def test_any_number_of_dispatchers_share_one_rate(
    bench: Bench, moves: list[Move], dispatchers: int, rpm: float
) -> None:
    await bench.begin_again(make_policy(rpm=rpm, deadline_s=3600))
    for agent in "abcd":
        await bench.submit(agent, 40)
    await play(bench, moves, dispatchers)
    assert find_excess(bench.slots, rpm) == []


@PROPERTY
@given(
    moves=MOVES,
    rates=st.lists(st.sampled_from([None, 60, 600, 1170, 6000, 60_000]), min_size=2, max_size=5),
)
async def test_a_changed_rate_never_brings_a_slot_too_near_to_the_last(
    bench: Bench, moves: list[Move], rates: list[float | None]
) -> None:
    await bench.begin_again(make_policy(rpm=rates[0], deadline_s=3600))
    await bench.submit("ann", 200)
    part = len(moves) // len(rates) + 1
    for at, rpm in enumerate(rates):
        await bench.apply(make_policy(rpm=rpm, deadline_s=3600))
        before = len(bench.slots)
        await play(bench, moves[at * part : (at + 1) * part], 3)
        ordered = sorted(bench.slots[max(0, before - 1) :])
        least_us = price_us(make_upstream("a", rpm=rpm))
        assert all(later - earlier >= least_us for earlier, later in pairwise(ordered))
    await bench.apply(make_policy(rpm=None))  # so that the rest is answered soon


async def test_while_work_waits_no_slot_is_left_out(bench: Bench) -> None:
    await bench.submit("ann", 300)
    while len(bench.slots) < 300:
        for dispatcher in ("d1", "d2"):
            await bench.lease(dispatcher, count=7)
        bench.advance(HORIZON_US // 2)
    assert bench.slots == [START_US + at * 10_000 for at in range(300)]


async def test_no_slot_lies_beyond_the_horizon(bench: Bench) -> None:
    await bench.submit("ann", 100)
    for step_us in (0, 3_333, 10_000, 95_001, 100_000, 250_000):
        bench.advance(step_us)
        for leased in (await bench.lease()).leased:
            assert bench.now_us <= leased.slot_us <= bench.now_us + HORIZON_US


@pytest.mark.parametrize("heard_by", ["lease", "renew"])
async def test_a_clock_that_went_back_holds_nobody_up(bench: Bench, heard_by: str) -> None:
    """Neither the debt nor a pause becomes longer by the step, and the next slot keeps its distance."""
    await bench.submit("ann", 3)
    [first] = await bench.take()
    await bench.retry(first, pause_us=3 * SECOND_US, fault="rate", delay_us=0)
    bench.now_us -= 60 * SECOND_US
    if heard_by == "renew":
        await bench.renew("d1")
    assert (await bench.lease(count=1)).leased == []
    bench.advance(3 * SECOND_US)
    [second] = (await bench.lease(count=1)).leased
    assert 3 * SECOND_US <= second.slot_us - (first.slot_us - 60 * SECOND_US) <= 3 * SECOND_US + SECOND_US // 10
    bench.slots.clear()  # they are in order by two clocks
