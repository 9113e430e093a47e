"""A day and an hour of traffic in virtual time: what the scaler says, and the HPA does of it, follows the need."""

from collections.abc import Sequence
from itertools import groupby
from math import ceil

from support.autoscaling import count_turns, list_changes
from support.generated_traffic import DAY_S, HOUR_S, count_by_second, draw_day, find_hour
from support.keda import Keda
from support.scaled_object import read_dispatchers
from support.virtual_scaling import VirtualMoment, VirtualPool, scale_in_virtual_time

TURNS_AN_HOUR = 4
# A rate is known after ten seconds, asked for within 15, and a pod serves 20 later; doubling again takes 15 more.
LAG_S = 60


def find_longest_shortage(moments: Sequence[VirtualMoment]) -> int:
    """For how many seconds in a row fewer served than were needed."""
    short = (moment.ready < moment.need for moment in moments)
    return max((len(list(seconds)) for is_short, seconds in groupby(short) if is_short), default=0)


def assert_follows(moments: Sequence[VirtualMoment], pool: VirtualPool) -> None:
    assert find_longest_shortage(moments) <= LAG_S
    assert max(moment.replicas for moment in moments) <= ceil(pool.fed) + 1
    changes = list_changes(moments)
    assert count_turns(changes) <= TURNS_AN_HOUR, changes
    assert pool.waiting == 0, "not all that came was served"


def test_a_day() -> None:
    """Eight requests a second on average, and for half an hour nearly half more than the bucket lets through."""
    pool = VirtualPool(limit_per_s=20, call_s=12, concurrency=40)
    arrivals = count_by_second(draw_day(8 * DAY_S), DAY_S)
    moments = scale_in_virtual_time(Keda(read_dispatchers(20, {})), pool, arrivals)
    assert_follows(moments, pool)
    assert moments[-1].replicas == 2
    needed = sum(max(2, ceil(moment.need)) for moment in moments)
    assert sum(moment.replicas for moment in moments) <= 1.5 * needed


def test_an_hour() -> None:
    pool = VirtualPool(limit_per_s=10, call_s=12, concurrency=20)
    moments = scale_in_virtual_time(
        Keda(read_dispatchers(20, {})), pool, count_by_second(find_hour(), HOUR_S) + [0] * HOUR_S
    )
    assert_follows(moments, pool)
    assert moments[-1].replicas == 2
