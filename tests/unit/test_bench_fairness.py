"""The measures of `scripts/bench scheduling`: who waits when, windows, differences, and the models it compares with."""

import pytest

from bench.scheduling.comparison import HOG_LIMITS
from bench.scheduling.fairness import Book, find_difference, keep_books, measure_shares, measure_windows
from bench.scheduling.ledger import Step
from bench.scheduling.loads import (
    SECOND_US,
    Arrival,
    Limits,
    deal_out,
    fit_limits,
    make_hog_load,
    make_sample_trace,
)
from bench.scheduling.models import FirstComeFirstServed, Queue, RoundRobin, serve
from bench.scheduling.verdict import judge

# One request or one token a second.
LIMITS = Limits(rpm=60, tpm=60, headroom=0)
UNTIL_US = 61 * SECOND_US


def steps_of(text: str, tokens: int = 1) -> list[Step]:
    """A step a second: `+a` arrives for a, `a` is served."""
    return [
        Step(at_s * SECOND_US, word.lstrip("+"), tokens, 0, arrives=word.startswith("+"))
        for at_s, word in enumerate(text.split())
    ]


def test_an_agent_waits_from_its_first_request_until_its_last_is_chosen() -> None:
    books = keep_books(steps_of("+a +a +b a a b +a"), LIMITS)
    assert books["a"].waits == [(0, 4), (6, 7)]
    assert books["a"].places == [3, 4]
    assert books["b"] == Book([(2, 5)], [5], [SECOND_US])


def test_the_dearest_dimension_is_the_cost() -> None:
    assert LIMITS.cost_us(0) == SECOND_US
    assert LIMITS.cost_us(5) == 5 * SECOND_US
    assert HOG_LIMITS.price_us(2_000) == (123_077, 1_230_770)


@pytest.mark.parametrize(
    ("history", "worst"),
    [
        ("+a +a +a +b a a b a", 2),  # a had two before b had one
        ("+a +b a b +a +b b a", 1),
        ("+a +b a +b b b +a a", 1),  # what b got while a did not wait is nobody's loss
        ("+a +a +a a a a +b b", 0),
    ],
)
def test_the_difference_counts_where_both_wait(history: str, worst: int) -> None:
    found = find_difference(keep_books(steps_of(history), LIMITS), {"a": SECOND_US, "b": SECOND_US})
    assert found is not None
    assert found.us == worst * SECOND_US
    assert found.share == worst / 2


def test_windows_are_of_those_who_wait_throughout() -> None:
    even = steps_of(" ".join(["+a"] * 40 + ["+b"] * 40 + ["+c"] + ["a", "b"] * 40))
    books = keep_books(even, LIMITS)
    assert measure_windows(even, books, 161 * SECOND_US)
    assert measure_windows(even[:61], keep_books(even[:61], LIMITS), UNTIL_US) == []  # b was not there from the start
    alone = steps_of(" ".join(["+a +b"] * 31 + ["a"] * 31 + ["+a"] * 31))
    windows = measure_windows(alone, keep_books(alone, LIMITS), 120 * SECOND_US)
    assert min(windows) == 0.5  # all for one of two


def test_shares_are_of_what_max_min_would_give() -> None:
    books = keep_books(steps_of("+a +b +b +b a b b"), LIMITS)
    demands = [("a", SECOND_US), *[("b", SECOND_US)] * 3]
    assert measure_shares(books, demands) == 1  # a had all it asked for
    assert measure_shares({}, demands) is None


@pytest.mark.parametrize(("queue", "order"), [(FirstComeFirstServed(), "aaab"), (RoundRobin(), "abaa")])
def test_the_models_keep_to_the_bucket(queue: Queue, order: str) -> None:
    arrivals = [Arrival(0, "a", 1, 1), Arrival(0, "a", 1, 1), Arrival(0, "a", 1, 1), Arrival(0, "b", 1, 1)]
    served = [step for step in serve(arrivals, LIMITS, queue, UNTIL_US) if not step.arrives]
    assert "".join(step.agent for step in served) == order
    assert [step.at_us // SECOND_US for step in served] == [0, 2, 4, 6]  # two tokens each
    assert [step.wait_us // SECOND_US for step in served] == [0, 2, 4, 6]


def test_what_was_not_sent_waits_for_ever() -> None:
    arrivals = [Arrival(0, "a", 1, 1)] * 100
    verdict = judge(serve(arrivals, LIMITS, RoundRobin(), UNTIL_US), arrivals, LIMITS, UNTIL_US, lambda _: False)
    assert verdict.sent == 31
    assert verdict.p50_s is None
    assert verdict.tpm_use == pytest.approx(62 / 61)
    assert verdict.jain is None


def test_without_the_hog_the_others_ask_for_the_same() -> None:
    with_hog, without = make_hog_load(3, 30), make_hog_load(3, 30, hog=False)
    assert [arrival for arrival in with_hog if arrival.agent != "hog"] == without
    assert sum(arrival.agent == "hog" for arrival in with_hog) == 600
    assert make_hog_load(4, 30) != with_hog


def test_a_trace_is_dealt_out_row_by_row() -> None:
    rows = make_sample_trace(1, 100, 60)
    load = deal_out(rows, 7, 60)
    assert {arrival.agent for arrival in load} == {f"agent{number}" for number in range(7)}
    assert all(arrival.at_us < 60 * SECOND_US for arrival in load)
    limits = fit_limits(load, 60, 1.25)
    assert limits.tpm == pytest.approx(sum(arrival.tokens for arrival in load) / 1.25, abs=1)
    assert limits.rpm == 160 * len(load) // 100
