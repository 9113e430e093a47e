"""Who fails, hangs or is slow in the simulator is decided by the switches and the seed alone."""

import math
from random import Random
from statistics import median, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.simulator.behaviour import Behaviour, Faults, InvalidBehaviour
from sluicegate_worker.simulator.faults import Chance, Fate, decide_fate, draw_chance, parse_faults

CALLS = 20_000


def fates(behaviour: Behaviour, seed: int = 7, calls: int = CALLS) -> list[Fate]:
    source = Random(seed)
    return [decide_fate(behaviour, draw_chance(source)) for _ in range(calls)]


def share(found: list[Fate], end: object) -> float:
    return sum(fate.end == end for fate in found) / len(found)


def test_the_same_seed_gives_the_same_fates_and_another_seed_others() -> None:
    behaviour = Behaviour(fail_rate=0.1)
    assert fates(behaviour, seed=1) == fates(behaviour, seed=1)
    assert fates(behaviour, seed=1) != fates(behaviour, seed=2)


def test_a_switch_moves_no_other_calls_service_time() -> None:
    calm, stormy = fates(Behaviour()), fates(Behaviour(fail_rate=0.2, faults=Faults(hang=0.3)))
    assert [fate.service_s for fate in calm] == [fate.service_s for fate in stormy]


def test_each_end_gets_its_share() -> None:
    faults = Faults(server_error=0.2, hang=0.3, slow_down=0.05, insufficient_quota=0.06, overloaded=0.07, cut=0.08)
    found = fates(Behaviour(fail_rate=0.1, faults=faults))
    assert share(found, 500) == pytest.approx(0.2, abs=0.02)
    assert share(found, 503) == pytest.approx(0.1, abs=0.02)
    assert share(found, "hang") == pytest.approx(0.3, abs=0.02)
    assert share(found, "slow_down") == pytest.approx(0.05, abs=0.01)
    assert share(found, "quota") == pytest.approx(0.06, abs=0.01)
    assert share(found, "overloaded") == pytest.approx(0.07, abs=0.01)
    assert share(found, "cut") == pytest.approx(0.08, abs=0.01)
    assert share(found, "answer") == pytest.approx(0.14, abs=0.02)


def test_other_faults_move_nobody_who_failed_before() -> None:
    before = fates(Behaviour(fail_rate=0.1, faults=Faults(server_error=0.2, hang=0.3)))
    more = Faults(server_error=0.2, hang=0.3, slow_down=0.1, insufficient_quota=0.1, overloaded=0.1, cut=0.05)
    for old, new in zip(before, fates(Behaviour(fail_rate=0.1, faults=more)), strict=True):
        assert old == new or (old.end, new.end in {"slow_down", "quota", "overloaded", "cut"}) == ("answer", True)


def test_a_revoked_key_is_revoked_for_every_call() -> None:
    assert {fate.end for fate in fates(Behaviour(fail_rate=0.5, faults=Faults(revoked=1, hang=0.5)))} == {"credentials"}


def test_only_what_is_answered_or_might_be_is_charged() -> None:
    faults = Faults(server_error=0.2, hang=0.2, slow_down=0.1, insufficient_quota=0.1, overloaded=0.1, cut=0.1)
    assert {fate.end for fate in fates(Behaviour(faults=faults)) if fate.is_charged} == {"answer", "hang", "cut"}


def test_fail_rate_alone_is_only_500() -> None:
    assert {fate.end for fate in fates(Behaviour(fail_rate=0.5))} == {"answer", 500}


@given(st.floats(0, 1, exclude_max=True))
def test_nothing_happens_to_nobody_and_everything_to_everybody(luck: float) -> None:
    chance = Chance(0.0, luck)
    assert decide_fate(Behaviour(), chance).end == "answer"
    assert decide_fate(Behaviour(fail_rate=1), chance).end == 500
    assert decide_fate(Behaviour(faults=Faults(server_error=1)), chance).end in (500, 503)
    assert decide_fate(Behaviour(faults=Faults(hang=1)), chance).end == "hang"
    assert decide_fate(Behaviour(faults=Faults(slow_down=1)), chance).end == "slow_down"
    assert decide_fate(Behaviour(faults=Faults(insufficient_quota=1)), chance).end == "quota"
    assert decide_fate(Behaviour(faults=Faults(overloaded=1)), chance).end == "overloaded"
    assert decide_fate(Behaviour(faults=Faults(cut=1)), chance).end == "cut"


def test_service_times_are_log_normal_around_the_median() -> None:
    times = [fate.service_s for fate in fates(Behaviour(latency_median_s=0.2, latency_sigma=0.3))]
    assert median(times) == pytest.approx(0.2, rel=0.02)
    assert stdev(math.log(time) for time in times) == pytest.approx(0.3, rel=0.03)


def test_slow_is_a_factor_and_no_spread_is_no_spread() -> None:
    behaviour = Behaviour(latency_median_s=0.5, latency_sigma=0, faults=Faults(slow=3))
    assert {fate.service_s for fate in fates(behaviour, calls=10)} == {1.5}


def test_faults_are_parsed() -> None:
    assert parse_faults(["5xx=0.25", "hang", "slow=2"]) == {"5xx": 0.25, "hang": 1.0, "slow": 2.0}
    assert parse_faults(["slow_down=0.1", "insufficient_quota", "overloaded", "cut", "revoked"]) == {
        "slow_down": 0.1,
        "insufficient_quota": 1.0,
        "overloaded": 1.0,
        "cut": 1.0,
        "revoked": 1.0,
    }
    assert parse_faults([]) == {}


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (
            ["flood"],
            (
                "there is no fault 'flood'; there are "
                "5xx, hang, slow, slow_down, insufficient_quota, overloaded, cut, revoked"
            ),
        ),
        (["hang=much"], "the fault hang takes a number, as in hang=0.5, not 'much'"),
        (["hang="], "the fault hang takes a number, as in hang=0.5, not ''"),
        (["hang=0.1", "hang=0.2"], "the fault hang is given twice; give it once"),
    ],
)
def test_what_is_no_fault_is_said_in_a_sentence(texts: list[str], sentence: str) -> None:
    with pytest.raises(InvalidBehaviour) as raised:
        parse_faults(texts)
    assert str(raised.value) == sentence
