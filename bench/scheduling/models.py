"""First come, first served, and round robin over agents: small models in memory, before the same bucket as ours."""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from bench.scheduling.ledger import Step
from bench.scheduling.loads import Arrival, Limits


class Queue(Protocol):
    """What waits, and who is next."""

    def add(self, arrival: Arrival) -> None: ...

    def take(self) -> Arrival | None: ...


class FirstComeFirstServed:
    def __init__(self) -> None:
        self._waiting: deque[Arrival] = deque()

    def add(self, arrival: Arrival) -> None:
        self._waiting.append(arrival)

    def take(self) -> Arrival | None:
        return self._waiting.popleft() if self._waiting else None


class RoundRobin:
    """One request of each agent that waits, in turn, whatever it costs. Who comes new is last."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Arrival]] = {}

    def add(self, arrival: Arrival) -> None:
        self._waiting.setdefault(arrival.agent, deque()).append(arrival)

    def take(self) -> Arrival | None:
        agent = next(iter(self._waiting), None)
        if agent is None:
            return None
        queue = self._waiting.pop(agent)
        arrival = queue.popleft()
        if queue:
            self._waiting[agent] = queue
        return arrival


def serve(arrivals: Sequence[Arrival], limits: Limits, queue: Queue, until_us: int) -> list[Step]:
    """What happens, in order: whatever is next is sent as soon as all debts are paid."""
    steps: list[Step] = []
    coming = deque(arrivals)
    requests_us = tokens_us = now_us = 0
    while now_us < until_us:
        free_us = max(now_us, requests_us, tokens_us)
        while coming and coming[0].at_us <= free_us:
            arrival = coming.popleft()
            queue.add(arrival)
            steps.append(Step(arrival.at_us, arrival.agent, 0, 0, arrives=True))
        chosen = queue.take() if free_us < until_us else None
        if chosen is None:
            now_us = coming[0].at_us if coming else until_us
            continue
        now_us = free_us
        price = limits.price_us(chosen.tokens)
        requests_us, tokens_us = free_us + price[0], max(tokens_us, free_us) + price[1]
        wait_us = free_us - chosen.at_us
        steps.append(Step(free_us, chosen.agent, chosen.tokens, wait_us, arrives=False))
    return steps
