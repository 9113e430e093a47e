"""A pool and its Deployment in virtual time, a second a step: a day of scaling decisions in a second or two."""

from collections import Counter, deque
from collections.abc import Iterable
from itertools import cycle
from typing import NamedTuple

from sluicegate_worker.observe.calls import CELL_US, WHOLE_CELLS, count_calls
from sluicegate_worker.scaler.demand import Dispatching, Feed, Look, want_dispatchers
from sluicegate_worker.scaler.lookout import Past
from support.hpa import SYNC_S
from support.keda import Answer, Keda

SPREAD = (0.4, 0.7, 1.0, 1.3, 1.6)  # how long calls take, of what they take on average
START_S = 20  # from the decision until a new pod serves
RECENT_S = 60
_SECOND_US = 1_000_000
CELL_S = CELL_US // _SECOND_US


class VirtualMoment(NamedTuple):
    """One second of it; `need` are the dispatchers that Little's law asks for, of which some part may be idle."""

    at_s: float
    need: float
    replicas: int
    ready: int


class VirtualPool:
    """What arrives waits until the bucket and a free place let it start; a call takes `call_s` on average."""

    def __init__(self, limit_per_s: float, call_s: float, concurrency: int) -> None:
        self.limit_per_s, self.call_s, self.concurrency = limit_per_s, call_s, concurrency
        self.now_s = 0
        self.waiting = self.in_flight = 0
        self._credit = 0.0
        self._ends: Counter[int] = Counter()
        self._lengths = cycle(max(1, round(call_s * share)) for share in SPREAD)
        self._recent: deque[int] = deque(maxlen=RECENT_S)
        self._sent: deque[int] = deque([0], maxlen=WHOLE_CELLS + 1)  # in the cells that the scripts keep, the last now

    def step(self, arrivals: int, ready: int) -> None:
        self.now_s += 1
        self.in_flight -= self._ends.pop(self.now_s, 0)
        self.waiting += arrivals
        self._recent.append(arrivals)
        self._credit = min(max(1.0, self.limit_per_s), self._credit + self.limit_per_s)
        started = min(self.waiting, int(self._credit), max(0, ready * self.concurrency - self.in_flight))
        self._credit -= started
        self.waiting -= started
        self.in_flight += started
        if self.now_s % CELL_S == 0:
            self._sent.append(0)
        self._sent[-1] += started
        for _ in range(started):
            self._ends[self.now_s + next(self._lengths)] += 1

    @property
    def need(self) -> float:
        """Dispatchers by Little's law: for the calls in flight when as many start as have come, as far as they may."""
        per_s = min(self.limit_per_s, sum(self._recent) / RECENT_S)
        return per_s * self.call_s / self.concurrency

    @property
    def fed(self) -> float:
        """What the bucket can keep busy."""
        return self.limit_per_s * self.call_s / self.concurrency

    def look(self) -> Look:
        """As the scaler sees it."""
        cells = (
            b"%d %d 0 0 0 0" % (self.now_s // CELL_S - age, calls) for age, calls in enumerate(reversed(self._sent))
        )
        return Look(
            waiting=self.waiting,
            delayed=0,
            in_flight=self.in_flight,
            backlog_s=self.waiting / self.limit_per_s,
            rpm=count_calls(cells, self.now_s * _SECOND_US).rpm,
            tpm=0.0,
            tokens=None,
            feeds=(Feed(self.limit_per_s * 60, None, None, None, open=True),),
        )


def scale_in_virtual_time(keda: Keda, pool: VirtualPool, arrivals: Iterable[int]) -> list[VirtualMoment]:
    """By the scaler's own sums; begins with the least replicas, and they serve."""
    serves_at = [0] * keda.scaled.least  # of each replica
    past, terms = Past(), Dispatching(pool.concurrency, float(keda.scaled.metadata["drainSeconds"]))
    seen = []
    answer: Answer | None = None

    def ask() -> Answer:
        wanted = want_dispatchers(past.since(pool.now_s)[-1], past.call_s(pool.now_s), terms)
        return Answer(wanted > 0, wanted)

    for count in arrivals:
        now_s, replicas = pool.now_s, len(serves_at)
        ready = sum(at <= now_s for at in serves_at)
        past.add(now_s, pool.look())
        if now_s % keda.scaled.polling_s == 0:
            answer = ask()
            replicas = keda.poll(now_s, replicas, answer)
        if now_s % SYNC_S == 0:
            replicas = keda.sync(now_s, replicas, answer if keda.scaled.cached else ask())
        serves_at = serves_at[:replicas] + [now_s + START_S] * (replicas - len(serves_at))
        seen.append(VirtualMoment(now_s, pool.need, replicas, ready))
        pool.step(count, ready)
    return seen
