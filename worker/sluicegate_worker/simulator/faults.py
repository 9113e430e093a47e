"""What becomes of a call: how long it takes, whether it fails, hangs or is cut off. Pure: chance comes as numbers."""

import math
from collections.abc import Iterable
from random import Random
from typing import Literal, NamedTuple

from sluicegate_worker.simulator.behaviour import Behaviour, InvalidBehaviour

VALUE_IF_NONE_GIVEN = {
    "5xx": 1.0,
    "hang": 1.0,
    "slow": 3.0,
    "slow_down": 1.0,
    "insufficient_quota": 1.0,
    "overloaded": 1.0,
    "cut": 1.0,
    "revoked": 1.0,
}


End = Literal["answer", 500, 503, "hang", "slow_down", "quota", "overloaded", "cut", "credentials"]


class Chance(NamedTuple):
    """The luck of one call. Every call draws the same amount, so that one's fate does not move another's."""

    normal: float  # standard normal: decides the service time
    share: float  # from 0 to 1: decides who fails


class Fate(NamedTuple):
    """What will happen to a call that the limits admit; without credentials, they are not even asked."""

    end: End
    service_s: float

    @property
    def is_charged(self) -> bool:
        return self.end in {"answer", "hang", "cut"}


def draw_chance(source: Random) -> Chance:
    return Chance(source.gauss(0.0, 1.0), source.random())


def decide_fate(behaviour: Behaviour, chance: Chance) -> Fate:
    """The line from 0 to 1 is cut up into a share for each end; what is left over is answered."""
    faults = behaviour.faults
    service_s = behaviour.latency_median_s * math.exp(behaviour.latency_sigma * chance.normal) * faults.slow
    if faults.revoked:
        return Fate("credentials", service_s)
    # New ends go last, so that a seed keeps its meaning for the others.
    shares: tuple[tuple[End, float], ...] = (
        ("hang", faults.hang),
        (500, behaviour.fail_rate + faults.server_error / 2),
        (503, faults.server_error / 2),
        ("slow_down", faults.slow_down),
        ("quota", faults.insufficient_quota),
        ("overloaded", faults.overloaded),
        ("cut", faults.cut),
    )
    upto = 0.0
    for end, share in shares:
        upto += share
        if chance.share < upto:
            return Fate(end, service_s)
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
