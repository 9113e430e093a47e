"""What became of one load under one scheduler, in numbers. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import inf

import msgspec

from bench.herd.measures import find_time
from bench.scheduling.fairness import find_difference, keep_books, measure_shares, measure_windows
from bench.scheduling.ledger import Step
from bench.scheduling.loads import MINUTE_US, SECOND_US, Arrival, Limits


class Verdict(msgspec.Struct, frozen=True):
    """A percentile that is null falls on requests that were not sent by the end of the run."""

    jain: float | None  # mean over sliding minutes, of the agents that waited throughout
    jain_min: float | None
    jain_shares: float | None  # of the whole run: what each got of its max-min share
    difference_s: float | None  # between two agents that both waited; of the pair that comes closest to its bound
    bound_s: float | None
    difference_of: tuple[str, str] | None
    p50_s: float | None  # of all requests
    p99_s: float | None
    light_p50_s: float | None
    light_p99_s: float | None
    sent: int
    tpm_use: float
    rpm_use: float
    time_use: float  # of the limit's time, by the dimension that is scarcest for each request


def judge(
    steps: Sequence[Step],
    arrivals: Sequence[Arrival],
    limits: Limits,
    until_us: int,
    is_light: Callable[[str], bool],
) -> Verdict:
    books = keep_books(steps, limits)
    windows = measure_windows(steps, books, until_us)
    costs = [(arrival.agent, limits.cost_us(arrival.tokens)) for arrival in arrivals]
    largest: defaultdict[str, int] = defaultdict(int)
    for agent, cost_us in costs:
        largest[agent] = max(largest[agent], cost_us)
    difference = find_difference(books, largest)
    waits = list(_list_waits(steps, arrivals))
    everyone = [wait_s for _, wait_s in waits]
    light = [wait_s for agent, wait_s in waits if is_light(agent)]
    sent = [step.tokens for step in steps if not step.arrives]
    return Verdict(
        jain=sum(windows) / len(windows) if windows else None,
        jain_min=min(windows, default=None),
        jain_shares=measure_shares(books, costs),
        difference_s=difference and difference.us / SECOND_US,
        bound_s=difference and difference.bound_us / SECOND_US,
        difference_of=difference and difference.agents,
        p50_s=find_time(everyone, 0.5),
        p99_s=find_time(everyone, 0.99),
        light_p50_s=find_time(light, 0.5),
        light_p99_s=find_time(light, 0.99),
        sent=len(sent),
        tpm_use=sum(sent) * MINUTE_US / (limits.tpm * until_us),
        rpm_use=len(sent) * MINUTE_US / (limits.rpm * until_us),
        time_use=sum(map(limits.cost_us, sent)) * (1 - limits.headroom) / until_us,
    )


def _list_waits(steps: Sequence[Step], arrivals: Sequence[Arrival]) -> Iterator[tuple[str, float]]:
    """Of every request that arrived: its agent and how long it waited, for ever where it was not sent."""
    unsent: defaultdict[str, int] = defaultdict(int)
    for arrival in arrivals:
        unsent[arrival.agent] += 1
    for step in steps:
        if not step.arrives:
            unsent[step.agent] -= 1
            yield step.agent, step.wait_us / SECOND_US
    for agent, left in unsent.items():
        yield from [(agent, inf)] * left
