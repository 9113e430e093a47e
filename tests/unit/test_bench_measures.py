"""Every number of the herd benchmark, against runs small enough to work out by hand."""

import pytest

from bench.herd.measures import (
    Outcome,
    find_congestion,
    find_finish,
    find_time,
    measure,
    measure_fairness,
    measure_goodput,
    share_fairly,
)
from bench.herd.scenarios import END, Phase, Scenario, Span

STEADY = [Span(0, END, 1.0)]
OUTAGE = [Span(0, 2, 1.0), Span(2, 10, 0.0), Span(10, END, 2.0)]


def outcome(agent: str, wanted_s: float, answered_s: float | None) -> Outcome:
    return Outcome(agent, agent != "hog", wanted_s, answered_s, None if answered_s is not None else "deadline")


def test_what_is_never_answered_is_slower_than_everything() -> None:
    times = [outcome("a", 1, 2).time_s, outcome("a", 1, 4).time_s, outcome("a", 1, None).time_s]
    assert find_time(times, 0.5) == 3
    assert find_time(times, 0.95) is None
    assert find_time([], 0.5) is None


def test_service_is_as_slow_as_the_provider() -> None:
    assert find_finish(5, STEADY) == 6
    assert find_finish(0.5, OUTAGE) == 1.5
    assert find_finish(1.5, OUTAGE) == 10.25  # half of it before the outage, the rest after it, at twice the rate
    assert find_finish(4, OUTAGE) == 10.5
    assert find_finish(1, [Span(0, 1.5, 1.0), Span(1.5, END, 0.0)]) == END


def test_congestion_is_where_a_lossless_queue_would_be_busy() -> None:
    assert find_congestion([], STEADY) == []
    assert find_congestion([0, 0, 0, 10], [Span(0, END, 2.0)]) == [(0, 1.5)]  # what is alone is no congestion
    assert find_congestion([1.5, 1.5], OUTAGE) == [(1.5, 10.75)]


def test_goodput_is_what_was_served_of_what_could_have_been() -> None:
    assert measure_goodput([], [0], [Span(0, END, 2.0)]) is None
    assert measure_goodput([0.1, 1.1, 3.0, 4.0], [0, 0, 0, 0], STEADY) == 0.75  # the last came when all could be done
    # Half a second before the outage and three quarters after it allow two calls; one was made.
    assert measure_goodput([1.6], [1.5, 1.5], OUTAGE) == pytest.approx(0.5)


def test_shares_are_even_but_for_those_who_want_less() -> None:
    assert share_fairly(10, {"a": 1, "b": 9, "c": 9}) == {"a": 1, "b": 4.5, "c": 4.5}
    assert share_fairly(2, {"a": 1, "b": 3}) == {"a": 1, "b": 1}
    assert share_fairly(8, {"a": 1, "b": 3}) == {"a": 1, "b": 3}


def test_fairness_is_of_what_was_answered_before_the_traffic_ended() -> None:
    fair = [outcome("hog", 0, 1), outcome("hog", 0, 30), outcome("a", 0, 2), outcome("b", 0, 3)]
    assert measure_fairness(fair, 5) == 1
    greedy = [outcome("hog", 0, 1), outcome("hog", 0, 2), outcome("a", 0, 30), outcome("b", 0, None)]
    assert measure_fairness(greedy, 5) == pytest.approx(1 / 3)
    assert measure_fairness([outcome("a", 0, 30)], 5) is None


def test_all_numbers_of_a_run() -> None:
    scenario = Scenario("small", "two agents", (Phase(4, 1.0),), hogs=1)
    outcomes = [outcome("hog", 0, 1), outcome("hog", 0, None), outcome("a", 0, 3), outcome("b", 1, 3)]
    calls = [(0.0, 200), (0.05, 429), (0.09, 429), (2.0, 200), (2.5, 200)]
    measured = measure(outcomes, calls, STEADY, scenario)
    assert (measured.wanted, measured.answers, measured.answered) == (4, 3, 0.75)
    assert (measured.calls, measured.calls_429, measured.sent_per_answer) == (5, 2, 5 / 3)
    assert measured.goodput == 0.75
    assert (measured.p50_s, measured.p95_s, measured.light_p50_s, measured.light_p95_s) == (2, None, 2, 3)
    assert (measured.jain, measured.max_in_100ms, measured.unanswered) == (1, 3, {"deadline": 1})


def test_a_run_without_answers_divides_by_nothing() -> None:
    measured = measure([outcome("a", 0, None)], [], STEADY, Scenario("none", "nothing", (Phase(4, 1.0),)))
    assert (measured.answered, measured.sent_per_answer, measured.goodput, measured.jain) == (0, None, 0, None)
