"""What happens in a run: how much is wanted when, by whom, and what the provider goes through."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

DEADLINE_S = 30.0
END = float("inf")


class Phase(NamedTuple):
    """From the end of the phase before, all agents together offer `load` times the provider's limit."""

    until_s: float
    load: float


class Change(NamedTuple):
    """The provider is told to behave otherwise (POST /_sim), and from then on answers `capacity` times its limit."""

    at_s: float
    capacity: float
    behaviour: Mapping[str, object]


class Scenario(NamedTuple):
    name: str
    sentence: str
    phases: tuple[Phase, ...]
    changes: tuple[Change, ...] = ()
    hogs: int = 0
    hogs_share: float = 0.0  # of all requests

    @property
    def traffic_s(self) -> float:
        return self.phases[-1].until_s


class Model(NamedTuple):
    """How the provider counts what it refuses."""

    name: str
    sentence: str
    behaviour: Mapping[str, object]


class Span(NamedTuple):
    """A time in which the provider can answer `per_s` requests a second."""

    from_s: float
    until_s: float
    per_s: float


def list_scenarios(rpm: int) -> dict[str, Scenario]:
    """Each keeps the provider busy for about thirty seconds at its limit, and all could be answered in time."""
    scenarios = (
        Scenario("burst", "three times the limit for eight seconds, then two fifths", (Phase(8, 3.0), Phase(25, 0.4))),
        Scenario(
            "hogs",
            "twice the limit for fifteen seconds, three quarters of it from ten hogs",
            (Phase(15, 2.0),),
            hogs=10,
            hogs_share=0.75,
        ),
        Scenario(
            "brownout",
            "three quarters of the limit; for ten seconds every call fails with 500 or 503",
            (Phase(25, 0.75),),
            (Change(5, 0.0, {"faults": {"5xx": 1.0}}), Change(15, 1.0, {"faults": {}})),
        ),
        Scenario(
            "halved",
            "nine tenths of the limit, which is halved after eight seconds and stays so",
            (Phase(20, 0.9),),
            (Change(8, 0.5, {"rpm": rpm // 2}),),
        ),
    )
    return {scenario.name: scenario for scenario in scenarios}


MODELS = {
    model.name: model
    for model in (
        Model("free", "a refused call costs nothing", {}),
        Model("counted", "a refused call counts against the limit", {"refusals_count": True}),
    )
}


def list_capacity(scenario: Scenario, rpm: int) -> list[Span]:
    """What the provider can answer over the run; the last span has no end."""
    steps = [(0.0, 1.0), *((change.at_s, change.capacity) for change in scenario.changes), (END, 0.0)]
    return [Span(from_s, until_s, rpm / 60 * share) for (from_s, share), (until_s, _) in pairwise(steps)]
