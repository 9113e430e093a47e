"""The simulator's limits admit what they should and never more, in any window, whatever arrives."""

from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.simulator.behaviour import Style
from sluicegate_worker.simulator.limits import MINUTE_US, SECOND_US, Bucket, Limit, SecondWindows, make_limit

START_US = 1_800_000_000_123_457

rates = st.one_of(st.integers(1, 200), st.integers(1, 100_000))
gaps_us = st.lists(st.one_of(st.just(0), st.integers(0, 20_000), st.integers(0, 90 * SECOND_US)), max_size=150)
styles: st.SearchStrategy[Style] = st.sampled_from(("bucket", "second"))


def arrivals_us(gaps: list[int]) -> list[int]:
    times, now_us = [], START_US
    for gap in gaps:
        now_us += gap
        times.append(now_us)
    return times


def admitted_us(limit: Limit, gaps: list[int]) -> list[int]:
    return [now_us for now_us in arrivals_us(gaps) if limit.decide(now_us, charge=True).admitted]


@given(rates, gaps_us)
def test_no_window_holds_more_than_a_bucket_and_its_refill(rpm: int, gaps: list[int]) -> None:
    admitted = admitted_us(Bucket(rpm, START_US), gaps)
    capacity = max(MINUTE_US, rpm * SECOND_US)
    for first, begin_us in enumerate(admitted):
        for last in range(first, len(admitted)):
            calls = last - first + 1
            assert calls * MINUTE_US <= capacity + (admitted[last] - begin_us) * rpm


@given(rates, gaps_us)
def test_no_aligned_window_holds_more_than_its_share(rpm: int, gaps: list[int]) -> None:
    admitted = admitted_us(SecondWindows(rpm, START_US), gaps)
    windows_per_minute, allowed = (60, rpm // 60) if rpm >= 60 else (rpm, 1)
    counts: dict[int, int] = {}
    for now_us in admitted:
        window = now_us * windows_per_minute // MINUTE_US
        counts[window] = counts.get(window, 0) + 1
    assert all(count <= allowed for count in counts.values())


@given(styles, rates, gaps_us)
def test_a_refused_call_is_admitted_after_exactly_the_wait_it_was_told(style: Style, rpm: int, gaps: list[int]) -> None:
    limit = make_limit(style, rpm, START_US)
    for now_us in arrivals_us(gaps):
        verdict = limit.decide(now_us, charge=True)
        if not verdict.admitted:
            assert verdict.wait_us > 0
            assert not copy(limit).decide(now_us + verdict.wait_us - 1, charge=False).admitted
            assert copy(limit).decide(now_us + verdict.wait_us, charge=False).admitted


@given(styles, rates, gaps_us)
def test_what_it_says_of_itself_is_true(style: Style, rpm: int, gaps: list[int]) -> None:
    limit = make_limit(style, rpm, START_US)
    full = limit.decide(START_US, charge=False).remaining
    for now_us in arrivals_us(gaps):
        verdict = limit.decide(now_us, charge=True)
        assert verdict.limit == rpm
        assert copy(limit).decide(now_us, charge=False).admitted == (verdict.remaining > 0)
        assert copy(limit).decide(now_us + verdict.reset_us, charge=False).remaining == full


@pytest.mark.parametrize(("style", "rpm", "burst"), [("bucket", 1_200, 20), ("second", 1_200, 20), ("bucket", 60, 1)])
def test_one_seconds_worth_passes_at_once_and_no_more(style: Style, rpm: int, burst: int) -> None:
    assert len(admitted_us(make_limit(style, rpm, START_US), [0] * 100)) == burst


@pytest.mark.parametrize("style", ["bucket", "second"])
def test_a_minute_of_greed_gets_the_rate(style: Style) -> None:
    limit = make_limit(style, 600, 0)
    admitted = sum(limit.decide(now_us, charge=True).admitted for now_us in range(0, MINUTE_US, 20_000))
    assert 600 <= admitted <= 610


def test_below_sixty_a_second_limit_has_longer_windows() -> None:
    limit = SecondWindows(20, 0)
    seconds = [second for second in range(10) if limit.decide(second * SECOND_US, charge=True).admitted]
    assert seconds == [0, 3, 6, 9]


@pytest.mark.parametrize("style", ["bucket", "second"])
def test_what_is_not_charged_uses_nothing_up(style: Style) -> None:
    limit = make_limit(style, 60, START_US)
    assert all(limit.decide(START_US, charge=False).admitted for _ in range(5))
    assert limit.decide(START_US, charge=True).admitted
    assert not limit.decide(START_US, charge=False).admitted


@pytest.mark.parametrize("style", ["bucket", "second"])
def test_a_changed_rate_forgives_nothing(style: Style) -> None:
    limit = make_limit(style, 60, START_US)
    assert limit.decide(START_US, charge=True).admitted
    limit.change_rate(30, START_US)
    assert not limit.decide(START_US, charge=True).admitted


def test_a_raised_rate_refills_faster_but_does_not_fill_the_bucket() -> None:
    limit = Bucket(60, START_US)
    assert limit.decide(START_US, charge=True).admitted
    limit.change_rate(6_000, START_US)
    assert not limit.decide(START_US + 9_999, charge=False).admitted
    assert limit.decide(START_US + 10_000, charge=False).remaining == 1


def test_a_lowered_rate_takes_away_what_no_longer_fits() -> None:
    limit = Bucket(6_000, START_US)
    limit.change_rate(120, START_US)
    assert limit.decide(START_US, charge=False).remaining == 2
