"""How many replicas a pool wants: the decisions, by hand-computed cases and as properties."""

from math import ceil, inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.scaler.demand import (
    Agenting,
    Dispatching,
    Feed,
    Look,
    mean_call_s,
    want_agents,
    want_dispatchers,
)


def feed(rpm: float | None = 600, tpm: float | None = None, **changes: Any) -> Feed:
    return Feed(**{"paced_rpm": rpm, "paced_tpm": tpm, "calls_left": None, "tokens_left": None, "open": True} | changes)


def look(*feeds: Feed, **changes: Any) -> Look:
    quiet: dict[str, Any] = {"waiting": 0, "delayed": 0, "in_flight": 0, "backlog_s": 0.0, "rpm": 0.0, "tpm": 0.0}
    return Look(**quiet | {"tokens": None} | changes, feeds=feeds or (feed(),))


def test_calls_last_as_long_as_littles_law_says() -> None:
    """Ten in flight at two a second: five seconds each."""
    assert mean_call_s([look(in_flight=8, rpm=120), look(in_flight=12, rpm=120)]) == 5
    assert mean_call_s([look(in_flight=3)]) is None


@pytest.mark.parametrize(
    ("seen", "call_s", "concurrency", "wanted"),
    [
        (look(), 5.0, 10, 0),  # nothing to do
        (look(waiting=900), None, 10, 1),  # nothing known of its calls
        (look(in_flight=1, rpm=6), 5.0, 10, 1),
        (look(in_flight=50, rpm=300), 10.0, 10, 7),  # 5 a second for 10 s: 50 in flight, 8 a dispatcher
        (look(in_flight=50, rpm=300, waiting=60), 10.0, 10, 9),  # two a second more: 70
        (
            look(in_flight=100, rpm=600, waiting=100_000),
            10.0,
            10,
            11,
        ),  # the bucket feeds ten a second; one more
        (look(delayed=4), 5.0, 10, 1),
    ],
)
def test_dispatchers(seen: Look, call_s: float | None, concurrency: int, wanted: int) -> None:
    assert ceil(want_dispatchers(seen, call_s, Dispatching(concurrency))) == wanted


def test_tokens_feed_less_where_they_are_scarcer() -> None:
    """60,000 tokens a minute at 1,000 a call are one call a second: ten in flight for calls of ten seconds."""
    busy = look(feed(600, 60_000), waiting=10_000, in_flight=10, rpm=60, tokens=1_000)
    assert want_dispatchers(busy, 10.0, Dispatching(10)) == 1.25


def test_a_pause_takes_no_dispatcher_away() -> None:
    paused, open_ = (look(feed(open=is_open), waiting=10_000, in_flight=20, rpm=60) for is_open in (False, True))
    assert want_dispatchers(paused, 10.0, Dispatching(10)) == want_dispatchers(open_, 10.0, Dispatching(10)) == 11


def test_without_a_limit_nothing_caps_the_need() -> None:
    assert want_dispatchers(look(feed(None), waiting=30_000, in_flight=10, rpm=60), 1.0, Dispatching(10)) == 125.125


@pytest.mark.parametrize(
    ("seen", "terms", "wanted"),
    [
        (look(feed(600)), Agenting(rpm=6), 100),
        (look(feed(600, 30_000)), Agenting(rpm=6, tpm=1_000), 30),
        (look(feed(600), feed(300)), Agenting(rpm=6), 150),
        (look(feed(600), feed(300, open=False)), Agenting(rpm=6), 100),
        (look(feed(600, open=False)), Agenting(rpm=6), 0),
        (look(feed(600, open=False), waiting=1), Agenting(rpm=6), 1),  # never none while one waits
        (look(feed(600, calls_left=3_600)), Agenting(rpm=6), 10),  # an hour's worth: sixty a minute
        (look(feed(600, calls_left=0)), Agenting(rpm=6), 0),
        (look(feed(600), backlog_s=60, waiting=600), Agenting(rpm=6), 50),  # twice as long as it should take
        (look(feed(600), rpm=150), Agenting(rpm=6, direction="used"), 25),
        (look(feed(None)), Agenting(rpm=6), None),
    ],
)
def test_agents(seen: Look, terms: Agenting, wanted: int | None) -> None:
    assert want_agents([seen], terms) == wanted


def test_agents_go_down_at_once_and_up_slowly() -> None:
    many, few = look(feed(600)), look(feed(300))
    assert want_agents([many, many, few], Agenting(rpm=6)) == 50
    assert want_agents([few, many, many], Agenting(rpm=6)) == 50
    assert want_agents([many, many], Agenting(rpm=6)) == 100


_counts = st.integers(0, 100_000)
_looks = st.builds(
    lambda rpm, rest: look(feed(rpm), **rest),
    st.floats(1, 60_000),
    st.fixed_dictionaries({"waiting": _counts, "delayed": _counts, "in_flight": _counts, "rpm": st.floats(0, 60_000)}),
)
_calls = st.floats(0.01, 600)


@given(_looks, _calls, st.integers(1, 1_000))
def test_dispatchers_are_never_more_than_the_bucket_feeds_nor_none_while_there_is_work(
    seen: Look, call_s: float, concurrency: int
) -> None:
    wanted = want_dispatchers(seen, call_s, Dispatching(concurrency))
    paced = seen.feeds[0].paced_rpm
    assert paced is not None
    assert wanted <= ceil(paced / 60 * call_s / concurrency) + 1
    assert (wanted > 0) == seen.is_busy


@given(_looks, _calls, _counts)
def test_more_that_waits_never_wants_fewer_dispatchers(seen: Look, call_s: float, more: int) -> None:
    fuller = Look(seen.waiting + more, seen.delayed, seen.in_flight, 0.0, seen.rpm, 0.0, None, seen.feeds)
    assert want_dispatchers(fuller, call_s, Dispatching(10)) >= want_dispatchers(seen, call_s, Dispatching(10))


@given(_looks, st.floats(1, 60_000))
def test_less_quota_never_carries_more_agents(seen: Look, less: float) -> None:
    paced = seen.feeds[0].paced_rpm or inf
    smaller = Look(seen.waiting, seen.delayed, seen.in_flight, 0.0, seen.rpm, 0.0, None, (feed(min(paced, less)),))
    carried = want_agents([smaller], Agenting(rpm=6)) or 0
    assert carried <= (want_agents([seen], Agenting(rpm=6)) or 0)
