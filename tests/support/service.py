"""The service bound of agents that wait in one lane, as a pure function over a log of what they were charged.

Fresh requests are served in the order of virtual time, and each charge moves that by cost ÷ weight. So while f and g
both wait, f is never further ahead of g than by its last request; over any stretch of that time what the two were
charged differs by at most c_f/w_f + c_g/w_g, one request of each. What is charged out of turn, a retry or a correction
of what was estimated, is added to that until the agent that it holds back is served again.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import Literal, NamedTuple

from msgspec import Struct

ROUNDING_US = 100.0  # virtual time of lane batch is kept in halves of a microsecond


class Event(NamedTuple):
    """`step_us` is a cost divided by the agent's weight.

    waits and rests: from now on it could be served, or could not. served: the next of its backlog was leased. moved: it
    was charged out of turn, or was given back what was charged too much. emptied: nothing of it is left in its backlog.
    """

    kind: Literal["waits", "rests", "served", "moved", "emptied"]
    agent: str
    step_us: float = 0.0


class _Agent(Struct):
    """`ahead_us`: how far it is at most ahead of who waits: its last request, and what was charged out of turn since.
    `behind_us`: how far it is at most behind the lane's clock: what was given back since its backlog was empty."""

    charged_us: float = 0.0
    ahead_us: float = 0.0
    behind_us: float = 0.0
    waits: bool = False


class _Pair(Struct):
    """`behind_us` is how far the one may be behind the other since that was served last. The difference of the two
    clocks is what they were charged and a number that is not known, but the same while both wait: it lies between these
    ends."""

    behind_us: float
    most_us: float = float("inf")


class _Lane:
    def __init__(self) -> None:
        self._agents: defaultdict[str, _Agent] = defaultdict(_Agent)
        self._pairs: dict[tuple[str, str], _Pair] = {}

    def follow(self, event: Event) -> float:
        """How much further apart than they may be two agents are now; negative or zero where all is well."""
        agent = self._agents[event.agent]
        if event.kind == "emptied":
            agent.behind_us = 0.0
        elif event.kind in ("waits", "rests"):
            self._change(event.agent, waits=event.kind == "waits")
        else:
            self._charge(event)
        return max(self._compare(), default=0.0)

    def _change(self, name: str, *, waits: bool) -> None:
        self._agents[name].waits = waits
        self._pairs = {pair: kept for pair, kept in self._pairs.items() if name not in pair}
        others = [other for other, agent in self._agents.items() if agent.waits and other != name] if waits else []
        for other in others:
            for one, two in permutations((name, other)):
                self._pairs[one, two] = _Pair(self._agents[two].behind_us)

    def _charge(self, event: Event) -> None:
        agent, step_us = self._agents[event.agent], event.step_us
        agent.charged_us += step_us
        if event.kind == "served":
            agent.ahead_us = step_us
        elif step_us > 0:
            agent.ahead_us += step_us
        else:
            agent.behind_us -= step_us
        for (one, two), pair in self._pairs.items():
            if event.kind == "served" and one == event.agent:
                pair.behind_us = 0.0
            if event.kind == "moved" and two == event.agent and step_us < 0:
                pair.behind_us -= step_us

    def _compare(self) -> Iterator[float]:
        """`one` is ahead of `two` by no more than what its last request and all since account for."""
        for (one, two), pair in self._pairs.items():
            difference_us = self._agents[one].charged_us - self._agents[two].charged_us
            pair.most_us = min(pair.most_us, self._allowed_us(one, two) - difference_us)
        for one, two in self._pairs:
            # What is unknown is at most this by the one, and at least that by the other.
            if one < two:
                yield -self._pairs[one, two].most_us - self._pairs[two, one].most_us - ROUNDING_US

    def _allowed_us(self, one: str, two: str) -> float:
        return self._agents[one].ahead_us + self._pairs[one, two].behind_us


def find_unfair(log: Iterable[Event]) -> float:
    """By how much the agents of a lane ever exceeded the bound, in microseconds; 0 where they never did."""
    lane = _Lane()
    return max([0.0, *(lane.follow(event) for event in log)])
