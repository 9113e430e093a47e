"""Who asks, when, and for how much: the traffic of a run, decided before it begins."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, takewhile
from random import Random
from typing import NamedTuple

import msgspec

from sluicegate_worker.demo.traces import TraceRow

PATH = "/v1/chat/completions"
PROMPT_TOKENS = 50
ANSWER_TOKENS = 20
OUTSTANDING_PER_HOG = 20
OTHERS_SHARE = 0.5  # of the limit
# The simulator counts words. Four bytes for one is what a token of English or code takes.
WORD = b"tok "


class Agent(NamedTuple):
    name: str
    group: str  # "hogs" or "others"


class Arrival(NamedTuple):
    """A request of `agent`, `offset_s` after the start, whatever happened to those before it."""

    offset_s: float
    agent: Agent
    context_tokens: int = PROMPT_TOKENS
    generated_tokens: int = ANSWER_TOKENS


class Crew(NamedTuple):
    """The agents of a run."""

    hogs: list[Agent]
    others: list[Agent]

    @property
    def everyone(self) -> list[Agent]:
        return self.hogs + self.others


def name_agents(agents: int, hogs: int) -> Crew:
    """`agents` in all, the first `hogs` of them hogs."""
    return Crew(
        [Agent(f"hog-{number:03d}", "hogs") for number in range(hogs)],
        [Agent(f"agent-{number:03d}", "others") for number in range(agents - hogs)],
    )


class Plan(NamedTuple):
    """The traffic of a run."""

    crew: Crew
    arrivals: Iterable[Arrival]
    duration_s: float  # the run lasts at least so long, whatever the arrivals
    outstanding_per_hog: int = 0  # each hog asks anew as soon as one of so many is answered


def plan_demo(crew: Crew, rpm: int, duration_s: float, seed: int) -> Plan:
    """Ordinary agents together offer half the limit, and hogs as much as they can get."""
    shares = [1.0] * len(crew.others)
    arrivals = draw_arrivals(crew.others, shares, rpm / 60 * OTHERS_SHARE, duration_s, seed)
    return Plan(crew, arrivals, duration_s, OUTSTANDING_PER_HOG)


def plan_random(crew: Crew, hog_factor: float, rate_per_s: float, duration_s: float, seed: int) -> Plan:
    """All together offer `rate_per_s`, each hog `hog_factor` times as much as another agent."""
    shares = [hog_factor] * len(crew.hogs) + [1.0] * len(crew.others)
    return Plan(crew, draw_arrivals(crew.everyone, shares, rate_per_s, duration_s, seed), duration_s)


def plan_trace(crew: Crew, rows: Iterable[TraceRow], duration_s: float | None) -> Plan:
    """The trace, or as much of it as comes before `duration_s`."""
    if duration_s is None:
        return Plan(crew, assign_rows(rows, crew.everyone), 0.0)
    return Plan(crew, assign_rows(takewhile(lambda row: row.offset_s < duration_s, rows), crew.everyone), duration_s)


def draw_arrivals(
    agents: Sequence[Agent], shares: Sequence[float], rate_per_s: float, duration_s: float, seed: int
) -> Iterator[Arrival]:
    """Poisson arrivals of all together. Drawing the agent of each gives every agent a Poisson stream of its own."""
    if not agents or rate_per_s <= 0:
        return
    random = Random(seed)
    cumulated = list(accumulate(shares))
    offset_s = random.expovariate(rate_per_s)
    while offset_s < duration_s:
        yield Arrival(offset_s, random.choices(agents, cum_weights=cumulated)[0])
        offset_s += random.expovariate(rate_per_s)


def assign_rows(rows: Iterable[TraceRow], agents: Sequence[Agent]) -> Iterator[Arrival]:
    """The rows of a trace, dealt to the agents in turn."""
    for row in rows:
        yield Arrival(row.offset_s, agents[row.number % len(agents)], row.context_tokens, row.generated_tokens)


def write_body(model: str, context_tokens: int, generated_tokens: int) -> bytes:
    """A chat completion of that size, as JSON. Providers refuse to generate nothing, so the least asked for is one."""
    return b'{"model":%b,"max_tokens":%d,"messages":[{"role":"user","content":"%b"}]}' % (
        msgspec.json.encode(model),
        max(1, generated_tokens),
        (WORD * context_tokens)[:-1],
    )
