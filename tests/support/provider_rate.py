"""Whether a provider ever got more than its limit, by its own log."""

from collections.abc import Sequence

from sluicegate_worker.demo.measures import count_busiest
from sluicegate_worker.simulator.log import Record


def assert_never_above(calls: Sequence[Record], rpm: int) -> None:
    """In no second, ten seconds or minute; nothing was refused, and nothing called twice."""
    times = [call.t for call in calls]
    assert {call.status for call in calls} == {200}
    assert len({call.id for call in calls}) == len(calls)
    assert count_busiest(times, 1.0) <= rpm // 60 + 1
    assert count_busiest(times, 10.0) <= rpm // 6
    assert count_busiest(times, 60.0) <= rpm
