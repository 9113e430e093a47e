"""Isolation, by the real scripts in virtual time: who waits is served evenly, and a hog costs light agents nothing."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from bench.scheduling.comparison import HOG_LIMITS
from bench.scheduling.loads import SECOND_US, is_light, make_hog_load
from bench.scheduling.ours import serve_alone
from bench.scheduling.verdict import Verdict, judge
from sluicegate_worker.demo.embedded import EmbeddedServer


def compare(duration_s: int) -> tuple[Verdict, Verdict]:
    """The same minutes with and without the hog, side by side: a process and a server for each."""
    loads = [make_hog_load(1, duration_s, hog=hog) for hog in (True, False)]
    until_us = duration_s * SECOND_US
    with (
        EmbeddedServer("--appendonly", "no") as one,
        EmbeddedServer("--appendonly", "no") as other,
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes,
    ):
        runs = processes.map(serve_alone, (one.url, other.url), loads, (HOG_LIMITS,) * 2, (until_us,) * 2)
        with_hog, without = (
            judge(steps, load, HOG_LIMITS, until_us, is_light) for steps, load in zip(runs, loads, strict=True)
        )
    return with_hog, without


@pytest.mark.timeout(600)
@pytest.mark.parametrize("duration_s", [240, pytest.param(600, marks=pytest.mark.full)])
def test_a_hog_gets_what_others_get_and_costs_light_agents_nothing(duration_s: int) -> None:
    with_hog, without = compare(duration_s)
    assert with_hog.jain is not None
    assert with_hog.jain >= 0.99  # of the hog and the heavy agents, over sliding minutes
    assert with_hog.difference_s is not None
    assert with_hog.bound_s is not None
    assert with_hog.difference_s <= with_hog.bound_s  # of any two agents, while both wait: one request of each
    assert with_hog.light_p99_s is not None
    assert without.light_p99_s is not None
    assert with_hog.light_p99_s <= 1.5 * without.light_p99_s
    assert with_hog.time_use >= 0.97
