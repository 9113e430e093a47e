"""A pool and its Deployment in virtual time, a second a step: a day of scaling decisions in a second or two."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import cycle

from support.autoscaling import Moment
from support.hpa import SYNC_S
from support.keda import Answer, Keda

SPREAD = (0.4, 0.7, 1.0, 1.3, 1.6)  # how long calls take, of what they take on average
START_S = 20  # from the decision until a new pod serves
RECENT_S = 60


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


def scale_in_virtual_time(
    keda: Keda, pool: VirtualPool, arrivals: Iterable[int], ask: Callable[[VirtualPool], Answer | None]
) -> list[tuple[Moment, float]]:
    """A moment for each second, with the dispatchers that Little's law needs; begins with the least, and they serve."""
    serves_at = [0] * keda.scaled.least  # of each replica
    seen = []
    answer: Answer | None = None
    for count in arrivals:
        now_s = pool.now_s
        ready = sum(at <= now_s for at in serves_at)
        replicas = len(serves_at)
        if now_s % keda.scaled.polling_s == 0:
            answer = ask(pool)
            replicas = keda.poll(now_s, replicas, answer)
        if now_s % SYNC_S == 0:
            answer = answer if keda.scaled.cached else ask(pool)
            replicas = keda.sync(now_s, replicas, answer)
        serves_at = serves_at[:replicas] + [now_s + START_S] * (replicas - len(serves_at))
        seen.append((Moment(now_s, answer.metric if answer else None, replicas, ready), pool.need))
        pool.step(count, ready)
    return seen
