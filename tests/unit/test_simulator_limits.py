"""The simulator's limits admit what they should and never more, in any window, whatever arrives."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.simulator.behaviour import Style
from sluicegate_worker.simulator.limits import (
    DAY_US,
    MINUTE_US,
    SECOND_US,
    Bucket,
    FixedWindow,
    Limit,
    Quanta,
    SlidingMinute,
    make_limit,
)

START_US = 1_800_000_000_123_457
STYLES: tuple[Style, ...] = ("bucket", "second", "ten-seconds", "sliding-minute", "fixed-minute")
IN_DEBT: tuple[Style, ...] = ("bucket", "second", "ten-seconds")
STRICT: tuple[Style, ...] = ("sliding-minute", "fixed-minute")

rates = st.one_of(st.integers(1, 200), st.integers(1, 100_000))
gaps_us = st.lists(st.one_of(st.just(0), st.integers(0, 20_000), st.integers(0, 90 * SECOND_US)), max_size=150)
styles = st.sampled_from(STYLES)
amounts = st.lists(st.integers(1, 3_000), min_size=150, max_size=150)


def make(style: Style, rate: int, now_us: int = START_US) -> Limit:
    return make_limit("rpm", style, rate, now_us)


def attempt(limit: Limit, now_us: int, amount: int = 1) -> bool:
    admitted = limit.wait_us(now_us, amount) == 0
    if admitted:
        limit.take(now_us, amount)
    return admitted


def arrivals_us(gaps: list[int]) -> list[int]:
    times, now_us = [], START_US
    for gap in gaps:
        now_us += gap
        times.append(now_us)
    return times


def admitted_us(limit: Limit, gaps: list[int]) -> list[int]:
    return [now_us for now_us in arrivals_us(gaps) if attempt(limit, now_us)]


@given(rates, gaps_us)
def test_no_window_holds_more_than_a_bucket_and_its_refill(rpm: int, gaps: list[int]) -> None:
    admitted = admitted_us(Bucket(rpm, START_US), gaps)
    capacity = max(MINUTE_US, rpm * SECOND_US)
    for first, begin_us in enumerate(admitted):
        for last in range(first, len(admitted)):
            calls = last - first + 1
            assert calls * MINUTE_US <= capacity + (admitted[last] - begin_us) * rpm


@pytest.mark.parametrize("windows_at_most", [60, 6])
@given(rates, gaps_us)
def test_no_aligned_window_holds_more_than_its_share(windows_at_most: int, rpm: int, gaps: list[int]) -> None:
    admitted = admitted_us(Quanta(rpm, START_US, windows_at_most), gaps)
    windows_per_minute = min(rpm, windows_at_most)
    counts: dict[int, int] = {}
    for now_us in admitted:
        window = now_us * windows_per_minute // MINUTE_US
        counts[window] = counts.get(window, 0) + 1
    assert all(count <= rpm // windows_per_minute for count in counts.values())


@given(st.integers(1, 20), gaps_us)
def test_no_sixty_seconds_hold_more_than_the_limit(rpm: int, gaps: list[int]) -> None:
    admitted = admitted_us(SlidingMinute(rpm), gaps)
    assert all(later - earlier >= MINUTE_US for earlier, later in zip(admitted, admitted[rpm:], strict=False))


@given(st.integers(1, 20), gaps_us)
def test_no_minute_of_the_clock_holds_more_than_the_limit(rpm: int, gaps: list[int]) -> None:
    minutes = [now_us // MINUTE_US for now_us in admitted_us(FixedWindow(rpm, START_US, MINUTE_US), gaps)]
    assert all(minutes.count(minute) <= rpm for minute in minutes)


@given(styles, rates, gaps_us, amounts)
def test_a_refused_call_is_admitted_after_exactly_the_wait_it_was_told(
    style: Style, rate: int, gaps: list[int], amounts: list[int]
) -> None:
    limit = make(style, rate)
    for now_us, amount in zip(arrivals_us(gaps), amounts, strict=False):
        wait_us = limit.wait_us(now_us, amount)
        if not wait_us:
            limit.take(now_us, amount)
        else:
            assert deepcopy(limit).wait_us(now_us + wait_us - 1, amount) == 1
            assert deepcopy(limit).wait_us(now_us + wait_us, amount) == 0


@given(styles, rates, gaps_us, amounts)
def test_what_it_says_of_itself_is_true(style: Style, rate: int, gaps: list[int], amounts: list[int]) -> None:
    limit = make(style, rate)
    full = limit.standing(START_US).remaining
    for now_us, amount in zip(arrivals_us(gaps), amounts, strict=False):
        attempt(limit, now_us, amount)
        standing = limit.standing(now_us)
        assert standing.limit == rate
        assert (limit.wait_us(now_us, 1) == 0) == (standing.remaining > 0)
        assert deepcopy(limit).standing(now_us + standing.reset_us).remaining == full
        if standing.reset_us:
            assert deepcopy(limit).standing(now_us + standing.reset_us - 1).reset_us == 1


@pytest.mark.parametrize(
    ("style", "rpm", "burst"),
    [
        ("bucket", 1_200, 20),
        ("second", 1_200, 20),
        ("ten-seconds", 1_200, 200),
        ("sliding-minute", 1_200, 1_200),
        ("fixed-minute", 1_200, 1_200),
        ("bucket", 60, 1),
        ("ten-seconds", 100, 16),
        ("ten-seconds", 1, 1),
    ],
)
def test_one_quantum_passes_at_once_and_no_more(style: Style, rpm: int, burst: int) -> None:
    assert len(admitted_us(make(style, rpm), [0] * 1_300)) == burst


@pytest.mark.parametrize(("style", "more"), [("bucket", 10), ("second", 0), ("ten-seconds", 0), ("fixed-minute", 0)])
def test_a_minute_of_greed_gets_the_rate(style: Style, more: int) -> None:
    limit = make(style, 600, 0)
    admitted = sum(attempt(limit, now_us) for now_us in range(0, MINUTE_US, 20_000))
    assert 600 <= admitted <= 600 + more


def test_below_one_in_each_window_windows_are_longer() -> None:
    by_second, by_ten_seconds = Quanta(20, 0, 60), Quanta(2, 0, 6)
    assert [second for second in range(10) if attempt(by_second, second * SECOND_US)] == [0, 3, 6, 9]
    assert [second for second in range(70) if attempt(by_ten_seconds, second * SECOND_US)] == [0, 30, 60]


@pytest.mark.parametrize("style", IN_DEBT)
def test_who_finds_anything_left_may_go_into_debt_and_all_wait_until_it_is_paid(style: Style) -> None:
    quantum = {"bucket": 10, "second": 10, "ten-seconds": 100}[style]
    quantum_us = quantum * MINUTE_US // 600
    limit = make(style, 600, 0)
    assert attempt(limit, 0, quantum - 1)
    assert attempt(limit, 0, 1 + 3 * quantum)
    assert not attempt(limit, 3 * quantum_us, 1)
    assert limit.wait_us(3 * quantum_us, 1) == (MINUTE_US // 600 if style == "bucket" else quantum_us)
    assert limit.standing(3 * quantum_us) == (600, 0, quantum_us)


@pytest.mark.parametrize("style", STRICT)
def test_a_strict_minute_takes_what_fits_and_a_larger_call_only_alone(style: Style) -> None:
    limit = make(style, 600, 0)
    assert attempt(limit, 0, 400)
    assert not attempt(limit, 1, 201)
    assert attempt(limit, 1, 200)
    assert not attempt(limit, MINUTE_US - 1, 601)
    assert attempt(limit, MINUTE_US + 1, 601)
    assert not attempt(limit, 2 * MINUTE_US - 1, 1)
    assert attempt(limit, 2 * MINUTE_US + 1, 600)


def test_a_sliding_minute_says_when_enough_is_forgotten() -> None:
    limit = SlidingMinute(10)
    for second in range(5):
        limit.take(second * SECOND_US, 2)
    now_us = 30 * SECOND_US
    assert [limit.wait_us(now_us, amount) // SECOND_US for amount in (1, 2, 3, 10, 11)] == [30, 30, 31, 34, 34]


@pytest.mark.parametrize("style", STYLES)
def test_what_is_given_back_can_be_taken_again_and_no_more(style: Style) -> None:
    limit = make(style, 60, START_US)
    full = limit.standing(START_US)
    limit.take(START_US, 300)
    limit.give_back(START_US, 299, START_US)
    assert limit.standing(START_US).remaining == full.remaining - 1
    limit.give_back(START_US, 1, START_US)
    assert limit.standing(START_US) == full


@pytest.mark.parametrize("style", STRICT)
def test_what_is_given_back_too_late_is_lost(style: Style) -> None:
    limit = make(style, 60, 0)
    limit.take(0, 60)
    limit.take(MINUTE_US, 60)
    limit.give_back(MINUTE_US, 60, 0)
    assert limit.standing(MINUTE_US).remaining == 0


@pytest.mark.parametrize("style", STYLES)
def test_a_changed_rate_forgives_nothing(style: Style) -> None:
    limit = make(style, 1)
    assert attempt(limit, START_US)
    limit.change_limit(60, START_US)
    assert attempt(limit, START_US) == (style not in {"bucket", "second"})  # those have one again, and it is used
    limit.change_limit(1, START_US)
    assert not attempt(limit, START_US)


@pytest.mark.parametrize("style", STRICT)
def test_a_minute_that_is_halved_and_doubled_again_is_as_it_was(style: Style) -> None:
    limit = make(style, 600, 0)
    limit.take(0, 500)
    limit.change_limit(300, 0)
    assert limit.standing(0).remaining == 0
    limit.change_limit(600, 0)
    assert limit.standing(0).remaining == 100


def test_smaller_windows_make_no_debt_of_what_was_used_and_keep_what_was_owed() -> None:
    limit = Quanta(600, 0, 60)
    limit.take(0, 10)
    limit.change_limit(60, 0)
    assert limit.wait_us(0, 1) == SECOND_US
    limit.change_limit(600, 0)
    limit.take(0, 14)
    limit.change_limit(60, 0)
    assert limit.wait_us(0, 1) == 6 * SECOND_US


def test_a_raised_rate_refills_faster_but_does_not_fill_the_bucket() -> None:
    limit = Bucket(60, START_US)
    assert attempt(limit, START_US)
    limit.change_limit(6_000, START_US)
    assert limit.wait_us(START_US, 1) == 10_000
    assert limit.standing(START_US + 10_000).remaining == 1


def test_a_lowered_rate_takes_away_what_no_longer_fits() -> None:
    limit = Bucket(6_000, START_US)
    limit.change_limit(120, START_US)
    assert limit.standing(START_US).remaining == 2


@pytest.mark.parametrize("style", STYLES)
def test_a_refusal_takes_one(style: Style) -> None:
    limit = make(style, 600, 0)
    before = limit.standing(0).remaining
    limit.count_refusal(0)
    assert limit.standing(0).remaining == before - 1


def test_refusals_put_a_bucket_no_more_than_a_second_into_debt() -> None:
    limit = Bucket(600, 0)
    for _ in range(100):
        limit.count_refusal(0)
    assert limit.wait_us(0, 1) == SECOND_US + 100_000


@pytest.mark.parametrize("style", ["second", "ten-seconds", "fixed-minute"])
def test_a_window_forgets_refusals_when_it_ends(style: Style) -> None:
    limit = make(style, 600, 0)
    for _ in range(1_000):
        limit.count_refusal(0)
    assert 0 < limit.wait_us(0, 1) <= MINUTE_US
    assert limit.standing(limit.wait_us(0, 1)).reset_us == 0


def test_refusals_prolong_a_sliding_minute() -> None:
    limit = SlidingMinute(1)
    limit.take(0, 1)
    limit.count_refusal(30 * SECOND_US)
    assert limit.wait_us(MINUTE_US, 1) == 30 * SECOND_US


@pytest.mark.parametrize("style", STYLES)
def test_a_day_lasts_from_midnight_to_midnight_whatever_the_style(style: Style) -> None:
    limit = make_limit("rpd", style, 2, DAY_US - 1)
    assert [attempt(limit, now_us) for now_us in (DAY_US - 1, DAY_US - 1, DAY_US - 1)] == [True, True, False]
    assert [attempt(limit, now_us) for now_us in (DAY_US, DAY_US, 2 * DAY_US - 1)] == [True, True, False]
