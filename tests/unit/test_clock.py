"""StoreClock: Redis' clock by ours, and how late its replies come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.clock import StoreClock

EPOCH_US = 1_700_000_000_000_000


def store_us(monotonic: float) -> int:
    """A store whose clock is EPOCH_US when ours is 0."""
    return EPOCH_US + round(monotonic * 1_000_000)


def seen(*replies: tuple[float, float]) -> StoreClock:
    """A clock that read replies at these times, each so many seconds after it was made."""
    clock = StoreClock()
    for read_at, late_s in replies:
        clock.see(store_us(read_at - late_s), read_at)
    return clock


def test_the_quickest_reply_is_nearest_to_the_truth() -> None:
    clock = seen((1.0, 0.030), (2.0, 0.001), (3.0, 0.500))
    assert clock.monotonic_of(store_us(10.0)) == pytest.approx(10.001, abs=1e-5)
    assert clock.store_us_of(10.001) == pytest.approx(store_us(10.0), abs=10)


def test_a_slow_reply_is_late_and_its_slot_is_not_stretched() -> None:
    clock = seen((1.0, 0.001), (2.0, 0.200))
    slot_us = store_us(2.0 - 0.200) + 50_000  # it was 50 ms away when the reply was made
    assert clock.monotonic_of(slot_us) < 2.0


def test_replies_within_five_milliseconds_need_no_lead() -> None:
    assert seen((1.0, 0.001), (2.0, 0.005)).lead_us == 0
    assert seen((1.0, 0.001), (2.0, 0.021)).lead_us == pytest.approx(20_000, abs=10)


def test_the_lead_rises_at_once_and_falls_slowly() -> None:
    clock = seen((1.0, 0.0), (2.0, 0.1))
    leads = []
    for second in range(3, 40):
        leads.append(clock.lead_us)
        clock.see(store_us(second), float(second))
    assert leads[0] == pytest.approx(100_000, abs=10)
    assert leads[1] == pytest.approx(90_000, abs=10)
    assert leads == sorted(leads, reverse=True)
    assert clock.lead_us == 0


def test_a_drifting_clock_is_followed_within_a_minute() -> None:
    clock = StoreClock()
    clock.see(store_us(0.0), 0.0)
    for second in range(1, 100):
        clock.see(store_us(second - 0.050), float(second))  # the store's clock went back by 50 ms
    assert clock.monotonic_of(store_us(200.0)) == pytest.approx(200.050, abs=1e-4)


def test_one_quick_reply_is_remembered_for_half_a_minute_at_least() -> None:
    clock = seen((1.0, 0.020), (29.0, 0.001), (32.0, 0.020), (58.0, 0.020))
    assert clock.monotonic_of(store_us(60.0)) == pytest.approx(60.001, abs=1e-4)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 2)), min_size=1, max_size=30), st.floats(0, 100))
def test_within_half_a_minute_no_reply_ever_seems_to_come_from_the_future(
    replies: list[tuple[float, float]], at: float
) -> None:
    clock = seen(*sorted(replies))
    least_s = min(late for _, late in replies)
    assert clock.monotonic_of(store_us(at)) == pytest.approx(at + least_s, abs=1e-3)
    assert clock.lead_us >= 0
