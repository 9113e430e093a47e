"""What is asked for: a hog among 199 others, or a trace dealt out to agents. Arrivals follow from the seed."""

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from sluicegate_worker.demo.traces import TraceRow

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOG = "hog"
HEAVY = tuple(f"heavy{number}" for number in range(20))
LIGHT = tuple(f"light{number}" for number in range(179))
LIGHT_CLASS = "light"


class Arrival(NamedTuple):
    """One request, at a time from the start of the run."""

    at_us: int
    agent: str
    tokens_in: int
    tokens_out: int

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


class Limits(NamedTuple):
    """Of the one upstream. All schedulers keep to the same bucket, which leaks at what `headroom` leaves of them."""

    rpm: int
    tpm: int
    headroom: float = 0.025

    def price_us(self, tokens: int) -> tuple[int, int]:
        """How long the bucket of requests and that of tokens need for one request."""
        left = 1 - self.headroom
        return -int(-MINUTE_US // (self.rpm * left)), -int(-tokens * MINUTE_US // (self.tpm * left))

    def cost_us(self, tokens: int) -> int:
        """Of the whole upstream's time, in the dimension that is scarcest for it."""
        return max(self.price_us(tokens))


def is_light(agent: str) -> bool:
    return agent.startswith(LIGHT_CLASS)


def make_hog_load(seed: int, duration_s: float, *, hog: bool = True) -> list[Arrival]:
    """Without the hog, the others ask for the very same.

    Hog: 20 at once each second, 2,000 tokens each. Heavy agents, 20: ten at once every 25 seconds or so, of about 300
    tokens, together 1.4 times the limit of tokens. Light agents, 179: three a second together, of about 100 tokens,
    which is a third of the limit of requests.
    """
    end_us = int(duration_s * SECOND_US)
    everything = [Arrival(at_us, HOG, 1_800, 200) for at_us in range(0, end_us, SECOND_US) if hog for _ in range(20)]
    for agents, together, per_agent_s, tokens_in in ((HEAVY, 10, 0.04, 240), (LIGHT, 1, 3.125 / len(LIGHT), 80)):
        for agent in agents:
            random = Random(f"{seed} {agent}")
            for at_us in _draw_times(random, per_agent_s, end_us):
                everything += [_draw_arrival(random, at_us, agent, tokens_in) for _ in range(together)]
    return sorted(everything)


def _draw_arrival(random: Random, at_us: int, agent: str, tokens_in: int) -> Arrival:
    size = random.uniform(0.5, 1.5)
    return Arrival(at_us, agent, int(tokens_in * size), int(tokens_in * size) // 4)


def make_sample_trace(seed: int, rows: int, duration_s: float) -> list[TraceRow]:
    """Made up in the manner of a recorded one: arrivals in bursts, many small prompts and a few long ones."""
    random, offset_s, found = Random(f"{seed} trace"), 0.0, []
    for number in range(rows):
        found.append(TraceRow(number, offset_s, *_draw_sizes(random)))
        offset_s += random.expovariate(1) * (0.1 if random.random() < 0.8 else 4.6)
    stretch = duration_s / max(offset_s, 1e-9)
    return [row._replace(offset_s=row.offset_s * stretch) for row in found]


def deal_out(rows: Iterable[TraceRow], agents: int, duration_s: float) -> list[Arrival]:
    """The trace's first `duration_s`, to as many agents: row after row, to one after the other."""
    return sorted(
        Arrival(int(row.offset_s * SECOND_US), f"agent{row.number % agents}", row.context_tokens, row.generated_tokens)
        for row in rows
        if row.offset_s < duration_s
    )


def fit_limits(arrivals: Sequence[Arrival], duration_s: float, use: float) -> Limits:
    """Limits of which the arrivals ask for `use` of the tokens, and half as much of the requests."""
    minutes = duration_s / 60 * use
    tokens = sum(arrival.tokens for arrival in arrivals)
    return Limits(max(1, round(2 * len(arrivals) / minutes)), max(1, round(tokens / minutes)))


def _draw_times(random: Random, per_s: float, end_us: int) -> Iterator[int]:
    at_us = int(random.expovariate(per_s) * SECOND_US)
    while at_us < end_us:
        yield at_us
        at_us += int(random.expovariate(per_s) * SECOND_US)


def _draw_sizes(random: Random) -> tuple[int, int]:
    return min(8_000, int(random.lognormvariate(6.5, 1.2)) + 1), min(1_500, int(random.lognormvariate(4.8, 0.9)) + 1)
