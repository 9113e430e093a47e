"""What becomes of a call: how long it takes, and whether it fails or hangs. Pure: chance comes in as numbers."""

import math
from collections.abc import Iterable
from random import Random
from typing import Literal, NamedTuple

from sluicegate_worker.simulator.behaviour import Behaviour, InvalidBehaviour

VALUE_IF_NONE_GIVEN = {"5xx": 1.0, "hang": 1.0, "slow": 3.0}


class Chance(NamedTuple):
    """The luck of one call. Every call draws the same amount, so that one's fate does not move another's."""

    normal: float  # standard normal: decides the service time
    share: float  # from 0 to 1: decides who fails


class Fate(NamedTuple):
    """What will happen to a call that the limit admits."""

    end: Literal["answer", 500, 503, "hang"]
    service_s: float


def draw_chance(source: Random) -> Chance:
    return Chance(source.gauss(0.0, 1.0), source.random())


def decide_fate(behaviour: Behaviour, chance: Chance) -> Fate:
    """The line from 0 to 1 is cut up: hanging calls first, then `fail_rate`, then `5xx` (500 and 503 by halves)."""
    faults = behaviour.faults
    service_s = behaviour.latency_median_s * math.exp(behaviour.latency_sigma * chance.normal) * faults.slow
    failing = chance.share - faults.hang
    if failing < 0:
        return Fate("hang", service_s)
    if failing < behaviour.fail_rate + faults.server_error / 2:
        return Fate(500, service_s)
    if failing < behaviour.fail_rate + faults.server_error:
        return Fate(503, service_s)
    return Fate("answer", service_s)


def parse_faults(texts: Iterable[str]) -> dict[str, float]:
    """`KIND` or `KIND=VALUE`, each kind once: what a person types becomes the `faults` of a behaviour."""
    faults: dict[str, float] = {}
    for text in texts:
        kind, equals, value = text.partition("=")
        if kind not in VALUE_IF_NONE_GIVEN:
            raise InvalidBehaviour(f"there is no fault {kind!r}; there are {', '.join(VALUE_IF_NONE_GIVEN)}")
        if kind in faults:
            raise InvalidBehaviour(f"the fault {kind} is given twice; give it once")
        try:
            faults[kind] = float(value) if equals else VALUE_IF_NONE_GIVEN[kind]
        except ValueError:
            raise InvalidBehaviour(f"the fault {kind} takes a number, as in {kind}=0.5, not {value!r}") from None
    return faults
