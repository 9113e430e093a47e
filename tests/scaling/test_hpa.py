"""The transcription of the HPA and of KEDA, by cases that were worked out by hand from their documentation."""

from collections.abc import Iterable
from typing import Any, Literal

import pytest

from support.hpa import SYNC_S, Behaviour, Hpa, Policy, Rules
from support.keda import Answer, Fallback, Keda, ScaledObject


def make(least: int = 1, most: int = 100, *, up: Rules | None = None, down: Rules | None = None) -> Hpa:
    given: dict[str, Any] = {name: rules for name, rules in (("up", up), ("down", down)) if rules}
    return Hpa(Behaviour(least, most, **given))


AT_ONCE = Rules(0, (Policy("Percent", 100, 15),))


def follow(hpa: Hpa, replicas: int, metrics: Iterable[float | None], every_s: float = SYNC_S) -> list[int]:
    """How many there are after each look."""
    seen = []
    for number, metric in enumerate(metrics):
        replicas = hpa.decide(number * every_s, replicas, metric)
        seen.append(replicas)
    return seen


@pytest.mark.parametrize(
    ("replicas", "metric", "wanted"),
    [
        (20, 18, 20),  # 0.9 is within the tolerance
        (20, 17, 17),
        (20, 22, 20),  # and so is 1.1
        (20, 23, 23),
        (5, 6, 6),  # among few each one counts
        (5, 4, 4),
        (5, 5.2, 5),
        (3, 3.4, 4),  # rounded up
        (10, 0, 1),  # the least
        (60, 200, 100),  # the most
    ],
)
def test_the_value_is_the_number_unless_it_is_nearly_there(replicas: int, metric: float, wanted: int) -> None:
    assert make(down=AT_ONCE).decide(0, replicas, metric) == wanted


def test_without_tolerance_one_of_twenty_counts() -> None:
    exact = AT_ONCE._replace(tolerance=0)
    assert follow(make(up=exact, down=exact), 20, [21, 19, 19]) == [21, 19, 19]


def test_without_a_metric_nothing_changes_but_the_bounds_hold() -> None:
    assert follow(make(2, 6), 4, [None, None]) == [4, 4]
    assert follow(make(2, 6), 9, [None]) == [6]
    assert follow(make(2, 6), 1, [None]) == [2]
    assert follow(make(2, 6), 0, [5]) == [0]  # switched off


def test_it_goes_down_to_the_most_of_its_window() -> None:
    """The example of the documentation: the highest recommendation of the last five minutes is what counts."""
    seen = follow(make(), 10, [10, 8, *[5] * 30])
    assert seen[:20] == [10] * 20
    assert seen[20] == 8  # the look at 300 s no longer sees that at 0 s
    assert seen[21] == 5
    assert seen[-1] == 5


def test_the_number_it_finds_at_first_counts_as_recommended() -> None:
    seen = follow(make(), 8, [2] * 22)
    assert seen[:20] == [8] * 20
    assert seen[20] == 2


def test_it_goes_up_to_the_least_of_its_window() -> None:
    slowly = Rules(30, (Policy("Percent", 900, 15),))
    assert follow(make(up=slowly), 2, [2, 9, 7, 8, 8]) == [2, 2, 7, 7, 8]


def test_it_doubles_or_adds_four_whichever_is_more() -> None:
    assert follow(make(), 1, [100] * 5) == [5, 10, 20, 40, 80]
    assert follow(make(most=50), 1, [100] * 5) == [5, 10, 20, 40, 50]


def test_a_policy_counts_from_what_there_was_when_its_period_began() -> None:
    """Four pods a minute, looked at four times a minute: four at once, and then none for the rest of the minute."""
    four = Rules(0, (Policy("Pods", 4, 60),))
    assert follow(make(up=four), 2, [20] * 9) == [6, 6, 6, 6, 10, 10, 10, 10, 14]


def test_ten_per_cent_of_eighty_and_then_four_at_a_time() -> None:
    """The example of the documentation: 7.2 of 72 are rounded up to 8, and below 40 four are more than ten per cent."""
    both = Rules(0, (Policy("Pods", 4, 60), Policy("Percent", 10, 60)))
    seen = follow(make(down=both), 80, [10] * 14, 60)
    assert seen == [72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10]


@pytest.mark.parametrize(("select", "down", "up"), [("Max", 40, 60), ("Min", 45, 55), ("Disabled", 50, 50)])
def test_of_two_policies_that_which_is_selected_counts(
    select: Literal["Max", "Min", "Disabled"], down: int, up: int
) -> None:
    both = Rules(0, (Policy("Pods", 5, 60), Policy("Percent", 20, 60)), select)
    assert follow(make(down=both), 50, [10, 10]) == [down, down]
    assert follow(make(up=both), 50, [90, 90]) == [up, up]


def test_what_went_down_meanwhile_may_come_back() -> None:
    """Two went away in this period, so as many more than the policy says may come: it counts from its beginning."""
    two = Rules(0, (Policy("Pods", 2, 60),))
    assert follow(make(up=two, down=two), 10, [10, 5, 20, 20]) == [10, 8, 12, 12]


def test_what_kubernetes_does_without_any_rules() -> None:
    """Down at once to what the window allows, since all of them may go within 15 s."""
    assert follow(make(), 60, [60, *[3] * 21])[-2:] == [3, 3]


DISPATCHERS = ScaledObject({}, Behaviour(2, 6), 2, fallback=Fallback(3, 4, "currentReplicasIfHigher"))


@pytest.mark.parametrize(
    ("behavior", "at_two", "at_five"),
    [
        ("static", 4, 4),
        ("currentReplicas", 2, 5),
        ("currentReplicasIfHigher", 4, 5),
        ("currentReplicasIfLower", 2, 4),
    ],
)
def test_a_fallback(behavior: Any, at_two: int, at_five: int) -> None:
    fallback = Fallback(3, 4, behavior)
    assert (fallback.choose(2), fallback.choose(5)) == (at_two, at_five)


def test_three_missing_answers_change_nothing_and_the_fourth_falls_back() -> None:
    keda = Keda(DISPATCHERS)
    assert [keda.sync(at, 2, None) for at in (0, 15, 30)] == [2, 2, 2]
    assert keda.sync(45, 2, None) == 4
    assert keda.sync(60, 4, Answer(True, 5)) == 5
    assert keda.sync(75, 5, None) == 5  # they are counted anew


def test_what_has_a_least_is_never_put_below_it() -> None:
    keda = Keda(DISPATCHERS)
    assert keda.poll(0, 1, Answer(False, 0)) == 2
    assert keda.poll(30, 4, Answer(False, 0)) == 4  # the rest is the HPA's
    assert keda.poll(60, 1, None) == 1


def test_to_nothing_and_back() -> None:
    keda = Keda(ScaledObject({}, Behaviour(1, 6), 0, cooldown_s=300))
    assert keda.poll(0, 3, Answer(True, 3)) == 3
    assert keda.poll(300, 3, Answer(False, 0)) == 3
    assert keda.poll(330, 3, Answer(False, 0)) == 0
    assert keda.sync(330, 0, Answer(False, 0)) == 0
    assert keda.poll(360, 0, None) == 0  # KEDA's fallback does not start what is at 0
    assert keda.poll(390, 0, Answer(True, 5)) == 1
    assert keda.sync(390, 1, Answer(True, 5)) == 5
