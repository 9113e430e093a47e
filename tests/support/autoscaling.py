"""The closed loop: a scaler is asked, KEDA and the HPA decide, a Deployment follows, and all of it is written down."""

import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

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


def count_turns(replicas: Sequence[tuple[float, int]]) -> int:
    """The most changes of direction, from more to fewer or back, in any hour; `replicas` are times and counts."""
    turns, direction = [], 0
    for (_, before), (at_s, after) in pairwise(replicas):
        towards = (after > before) - (after < before)
        if towards and towards == -direction:
            turns.append(at_s)
        direction = towards or direction
    return count_busiest(turns, HOUR_S) if turns else 0
