"""What a HorizontalPodAutoscaler decides, as Kubernetes documents it: tolerance, stabilisation windows, policies."""

from collections.abc import Iterable
from math import ceil
from typing import Literal, NamedTuple

SYNC_S = 15.0  # how often it looks


class Policy(NamedTuple):
    """So much may change within a period: pods, or per cent of those that there were when it began."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float


class Rules(NamedTuple):
    """`behavior.scaleUp` or `behavior.scaleDown`. A metric within `tolerance` of its target moves nothing."""

    window_s: float
    policies: tuple[Policy, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"
    tolerance: float = 0.1


# Where the manifest says nothing.
UP = Rules(0, (Policy("Percent", 100, 15), Policy("Pods", 4, 15)))
DOWN = Rules(300, (Policy("Percent", 100, 15),))


class Behaviour(NamedTuple):
    """`least` is 1 or more: going to 0 and back is KEDA's affair."""

    least: int
    most: int
    up: Rules = UP
    down: Rules = DOWN


class _At(NamedTuple):
    """A recommendation, or by how many replicas something has changed."""

    at_s: float
    replicas: int


class Hpa:
    """One external metric of type AverageValue with target 1: its value is the number of replicas that it wants.

    It remembers what it recommended and what it changed, both by the clock of its caller.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._recommended: list[_At] = []
        self._added: list[_At] = []
        self._removed: list[_At] = []

    def decide(self, now_s: float, replicas: int, metric: float | None) -> int:
        """How many there should be now. `metric` is None where it could not be had: then nothing changes."""
        least, most = self._behaviour.least, self._behaviour.most
        if not self._recommended:
            self._recommended.append(_At(now_s, replicas))
        if replicas == 0:
            return 0
        if not least <= replicas <= most:
            wanted = max(least, min(replicas, most))
        elif metric is None:
            return replicas
        else:
            recommended = recommend(replicas, metric, self._behaviour)
            wanted = self._limit(now_s, replicas, self._stabilise(now_s, replicas, recommended))
        self._remember(now_s, wanted - replicas)
        return wanted

    def _stabilise(self, now_s: float, replicas: int, recommended: int) -> int:
        """Up to no more than the least of scaleUp's window, down to no less than the most of scaleDown's."""
        up_s, down_s = self._behaviour.up.window_s, self._behaviour.down.window_s
        lowest = min([recommended, *(one.replicas for one in _since(now_s - up_s, self._recommended))])
        highest = max([recommended, *(one.replicas for one in _since(now_s - down_s, self._recommended))])
        self._recommended = [*_since(now_s - max(up_s, down_s), self._recommended), _At(now_s, recommended)]
        return min(max(replicas, lowest), highest)

    def _limit(self, now_s: float, replicas: int, wanted: int) -> int:
        """Not beyond `least` and `most`, and no further than the policies allow in their periods."""
        least, most = self._behaviour.least, self._behaviour.most
        if wanted > replicas:
            return min(wanted, most, max(replicas, self._limit_up(now_s, replicas)))
        if wanted < replicas:
            return max(wanted, least, min(replicas, self._limit_down(now_s, replicas)))
        return replicas

    def _limit_up(self, now_s: float, replicas: int) -> int:
        rules = self._behaviour.up
        if rules.select == "Disabled":
            return replicas
        limits = []
        for policy in rules.policies:
            began_with = self._count_at(now_s - policy.period_s, replicas)
            # Rounded up, or one pod could never become two by a few per cent.
            percent = ceil(began_with * (100 + policy.value) / 100)
            limits.append(percent if policy.kind == "Percent" else began_with + policy.value)
        return max(limits) if rules.select == "Max" else min(limits)

    def _limit_down(self, now_s: float, replicas: int) -> int:
        rules = self._behaviour.down
        if rules.select == "Disabled":
            return replicas
        limits = []
        for policy in rules.policies:
            began_with = self._count_at(now_s - policy.period_s, replicas)
            percent = began_with * (100 - policy.value) // 100
            limits.append(percent if policy.kind == "Percent" else began_with - policy.value)
        return min(limits) if rules.select == "Max" else max(limits)

    def _count_at(self, then_s: float, replicas: int) -> int:
        """How many there were, as far as it was this that has changed them since."""
        added = sum(one.replicas for one in _since(then_s, self._added))
        return replicas - added + sum(one.replicas for one in _since(then_s, self._removed))

    def _remember(self, now_s: float, change: int) -> None:
        longest_s = max(policy.period_s for rules in self._behaviour[2:] for policy in rules.policies)
        if change > 0:
            self._added = [*_since(now_s - longest_s, self._added), _At(now_s, change)]
        if change < 0:
            self._removed = [*_since(now_s - longest_s, self._removed), _At(now_s, -change)]


def recommend(replicas: int, metric: float, behaviour: Behaviour) -> int:
    """The metric rounded up, unless what it asks of each replica is within the tolerance of 1."""
    usage = round(metric * 1_000)  # quantities travel as whole thousandths
    ratio = usage / (1_000 * replicas)
    if 1 - behaviour.down.tolerance <= ratio <= 1 + behaviour.up.tolerance:
        return replicas
    return ceil(usage / 1_000)


def _since(then_s: float, entries: Iterable[_At]) -> list[_At]:
    return [one for one in entries if one.at_s > then_s]
