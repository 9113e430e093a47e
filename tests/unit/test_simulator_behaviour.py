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
        ({"rps": 5}, "there is no field 'rps'; there are rpm, tpm, itpm, otpm, rpd, tpd, style, profile,"),
        ({"tpm": 0}, "tpm must be between 1 and 1,000,000,000, not 0"),
        ({"itpm": -1}, "itpm must be between"),
        ({"otpm": 10**10}, "otpm must be between"),
        ({"rpd": 0}, "rpd must be between"),
        ({"tpd": "1"}, "$.tpd"),
        ({"rpm": 0}, "rpm must be between 1 and 1,000,000,000, not 0"),
        ({"rpm": 10**30}, "rpm must be between"),
        ({"rpm": "60"}, "$.rpm"),
        ({"rpm": True}, "$.rpm"),
        ({"rpm": 1.5}, "$.rpm"),
        (
            {"style": "sliding"},
            "style must be bucket, second, ten-seconds, sliding-minute or fixed-minute, not 'sliding'",
        ),
        ({"style": ["bucket"]}, "style must be bucket, second,"),
        ({"profile": "groq"}, "profile must be openai, azure, anthropic, gemini, bedrock or generic, not 'groq'"),
        ({"refusals_count": 1}, "$.refusals_count"),
        ({"sharer": 1}, "sharer must be at least 0 and less than 1, not 1.0"),
        ({"sharer": -0.1}, "sharer must be at least 0"),
        ({"sharer": float("nan")}, "sharer must be at least 0"),
        ({"sharer": 0.5, "rpm": 200_001}, "sharer times rpm must be at most 100,000 calls a minute"),
        ({"latency_median_s": -1}, "latency_median_s must be between"),
        ({"latency_median_s": float("nan")}, "latency_median_s must be between"),
        ({"latency_sigma": float("inf")}, "latency_sigma must be between"),
        ({"fail_rate": 1.01}, "fail_rate must be between"),
        ({"fail_rate": 0.6}, "together at most 1"),
        ({"faults": {"5xx": 2}}, "fault 5xx must be between"),
        ({"faults": {"slow": -1}}, "fault slow must be between"),
        ({"faults": {"slow_down": 2}}, "fault slow_down must be between"),
        ({"faults": {"insufficient_quota": -1}}, "fault insufficient_quota must be between"),
        ({"faults": {"overloaded": 2}}, "fault overloaded must be between"),
        ({"faults": {"overloaded": 0.6, "slow_down": 0.6}}, "together at most 1"),
        ({"faults": {"cut": -0.1}}, "fault cut must be between"),
        ({"faults": {"cut": 0.6, "hang": 0.6}}, "together at most 1"),
        ({"faults": {"revoked": 0.5}}, "fault revoked must be 0 or 1, not 0.5"),
        ({"faults": {"flood": 1}}, "`flood`"),
        ({"faults": None}, "$.faults"),
    ],
)
def test_a_bad_value_is_refused_in_a_sentence(changes: Mapping[str, object], named: str) -> None:
    with pytest.raises(InvalidBehaviour) as raised:
        change_behaviour(BEFORE, {"latency_sigma": 1} | dict(changes))
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)
