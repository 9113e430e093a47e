"""The simulator's live settings change as asked, or not at all."""

from collections.abc import Mapping

import pytest

from sluicegate_worker.simulator.behaviour import Behaviour, Faults, InvalidBehaviour, change_behaviour

BEFORE = Behaviour(rpm=60, faults=Faults(hang=0.5))


def test_a_part_is_changed_and_the_rest_stays() -> None:
    assert change_behaviour(BEFORE, {"latency_median_s": 1}) == Behaviour(
        rpm=60, latency_median_s=1.0, faults=Faults(hang=0.5)
    )
    assert change_behaviour(BEFORE, {"rpm": None}).rpm is None
    assert change_behaviour(BEFORE, {}) == BEFORE


def test_faults_are_replaced_as_a_whole() -> None:
    assert change_behaviour(BEFORE, {"faults": {"5xx": 0.1}}).faults == Faults(server_error=0.1)
    assert change_behaviour(BEFORE, {"faults": {}}).faults == Faults()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tpm": 5}, "there is no field 'tpm'; there are rpm, style,"),
        ({"rpm": 0}, "rpm must be between 1 and 1,000,000,000, not 0"),
        ({"rpm": 10**30}, "rpm must be between"),
        ({"rpm": "60"}, "$.rpm"),
        ({"rpm": True}, "$.rpm"),
        ({"rpm": 1.5}, "$.rpm"),
        ({"style": "sliding"}, "style must be bucket or second, not 'sliding'"),
        ({"style": ["bucket"]}, "style must be bucket or second"),
        ({"latency_median_s": -1}, "latency_median_s must be between"),
        ({"latency_median_s": float("nan")}, "latency_median_s must be between"),
        ({"latency_sigma": float("inf")}, "latency_sigma must be between"),
        ({"fail_rate": 1.01}, "fail_rate must be between"),
        ({"fail_rate": 0.6}, "together at most 1"),
        ({"faults": {"5xx": 2}}, "fault 5xx must be between"),
        ({"faults": {"slow": -1}}, "fault slow must be between"),
        ({"faults": {"flood": 1}}, "`flood`"),
        ({"faults": None}, "$.faults"),
    ],
)
def test_a_bad_value_is_refused_in_a_sentence(changes: Mapping[str, object], named: str) -> None:
    with pytest.raises(InvalidBehaviour) as raised:
        change_behaviour(BEFORE, {"latency_sigma": 1} | dict(changes))
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)
