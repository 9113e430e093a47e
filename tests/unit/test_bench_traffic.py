"""The traffic of the herd benchmark: the same for every column, and as much as its scenario says."""

from collections import Counter

import pytest

from bench.herd.measures import find_finish
from bench.herd.scenarios import DEADLINE_S, Scenario, list_capacity, list_scenarios
from bench.herd.traffic import AGENTS, deal_requests, draw_requests, is_hog

RPM = 1_200
SCENARIOS = list(list_scenarios(RPM).values())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_seed_decides_everything(scenario: Scenario) -> None:
    requests = draw_requests(scenario, RPM, 1)
    assert requests == draw_requests(scenario, RPM, 1)
    assert requests != draw_requests(scenario, RPM, 2)
    assert [request.number for request in requests] == list(range(len(requests)))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_all_could_be_answered_in_time(scenario: Scenario) -> None:
    """First come, first served, at the pace of the oracle."""
    capacity = [span._replace(per_s=span.per_s * 0.975) for span in list_capacity(scenario, RPM)]
    for seed in (1, 2, 3):
        free_s = 0.0
        for request in draw_requests(scenario, RPM, seed):
            free_s = find_finish(max(free_s, request.offset_s), capacity)
            assert free_s - request.offset_s < DEADLINE_S


def test_hogs_want_most() -> None:
    requests = draw_requests(list_scenarios(RPM)["hogs"], RPM, 1)
    hogs = [request for request in requests if is_hog(request.agent)]
    assert len({request.agent for request in hogs}) == 10
    assert 0.7 < len(hogs) / len(requests) < 0.8


def test_an_agent_lives_in_one_process_and_hogs_are_spread() -> None:
    requests = draw_requests(list_scenarios(RPM)["hogs"], RPM, 1)
    parts = deal_requests(requests, 4)
    assert sorted(request.number for part in parts for request in part) == list(range(len(requests)))
    homes = Counter(agent for part in parts for agent in {request.agent for request in part})
    assert max(homes.values()) == 1
    assert len(homes) <= AGENTS
    assert all(2 <= len({request.agent for request in part if is_hog(request.agent)}) <= 3 for part in parts)


def test_capacity_follows_what_the_provider_is_told() -> None:
    spans = list_capacity(list_scenarios(RPM)["brownout"], RPM)
    assert [(span.from_s, span.per_s) for span in spans] == [(0, 20), (5, 0), (15, 20)]
    assert [span.until_s for span in spans[:-1]] == [5, 15]
