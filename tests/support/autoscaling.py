"""The closed loop: a scaler is asked, KEDA and the HPA decide, a Deployment follows, and all of it is written down."""

import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from sluicegate_worker.demo.measures import count_busiest
from support.deployment import Deployment
from support.hpa import SYNC_S
from support.keda import Answer, Keda
from support.waiting import wait_until

HOUR_S = 3_600


class Moment(NamedTuple):
    """What there was after a look of the HPA; `at_s` in simulated seconds since the beginning."""

    at_s: float
    wanted: float | None  # the scaler's answer; none where it gave none
    replicas: int
    ready: int


async def autoscale(
    keda: Keda,
    deployment: Deployment,
    ask: Callable[[], Awaitable[Answer | None]],
    speed: float,
    is_over: Callable[[], bool],
) -> list[Moment]:
    """Until it is over. Simulated time runs `speed` times as fast as real time, periods and windows with it."""
    began_at, moments = time.monotonic(), []
    next_poll_s = next_sync_s = 0.0
    answer: Answer | None = None

    def now_s() -> float:
        return (time.monotonic() - began_at) * speed

    while not is_over():
        due_s = min(next_poll_s, next_sync_s)
        await wait_until(lambda due_s=due_s: now_s() >= due_s or is_over(), "its next look", 600)  # type: ignore[misc]
        if due_s == next_poll_s:
            answer, next_poll_s = await ask(), next_poll_s + keda.scaled.polling_s
            deployment.scale(keda.poll(now_s(), len(deployment.running), answer))
        if due_s == next_sync_s:
            if not keda.scaled.cached:
                answer = await ask()
            next_sync_s += SYNC_S
            deployment.scale(keda.sync(now_s(), len(deployment.running), answer))
            wanted = answer.metric if answer else None
            moments.append(Moment(now_s(), wanted, len(deployment.running), deployment.count_ready()))
    return moments


class Counted(Protocol):
    """How many there were at a moment."""

    @property
    def at_s(self) -> float: ...

    @property
    def replicas(self) -> int: ...


def list_changes(moments: Sequence[Counted]) -> list[tuple[float, int]]:
    """When there were how many replicas, from then on."""
    changed = (after for before, after in pairwise(moments) if before.replicas != after.replicas)
    return [(moment.at_s, moment.replicas) for moment in (moments[0], *changed)]


def count_turns(changes: Sequence[tuple[float, int]]) -> int:
    """How often in any hour at most it goes up after it went down, or down after up."""
    steps = [(at_s, after > before) for (_, before), (at_s, after) in pairwise(changes)]
    return count_busiest((at_s for (_, before), (at_s, after) in pairwise(steps) if before != after), HOUR_S)
