"""Events as Prometheus counters and histograms: what this process has seen.

Labels are bounded: pools and upstreams of the settings, and words of fixed lists. An agent or a request is never one.
"""

from collections.abc import Callable
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from sluicegate_worker.observe import events as told
from sluicegate_worker.observe.events import Event, Loop
from sluicegate_worker.outcome import DeadReason, Fault

# From a cached answer to the longest call; half as much again at the ends that matter less.
_CALL_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)
_WAIT_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_STORE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_NOBODYS = "none"
_BY_POOL, _BY_UPSTREAM = ("pool",), ("pool", "upstream")


class Counters:
    """Subscribes to Events; `registry` holds what it has counted."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = self._counter("calls", "Calls that ended, by class of status", *_BY_UPSTREAM, "status")
        self._durations = self._histogram("call_duration_seconds", "From send to the end of the answer", _CALL_S)
        self._first_bytes = self._histogram("first_byte_seconds", "From send to a stream's first byte", _CALL_S)
        self._waits = self._histogram("wait_seconds", "From enqueue to the first send", _WAIT_S, "pool", "lane")
        self._leases = self._histogram("lease_seconds", "Round trips to Redis for a lease", _STORE_S, *_BY_POOL)
        self._attempts = self._counter(
            "attempts", "Leases that ended, by what became of them", *_BY_UPSTREAM, "outcome"
        )
        self._retries = self._counter(
            "retries", "Calls that have to be made again, by whose fault", *_BY_UPSTREAM, "reason"
        )
        self._dead = self._counter("dead_letters", "Requests given up by this process", *_BY_POOL, "reason")
        self._tokens = self._counter("tokens", "What providers say that calls used", *_BY_UPSTREAM, "direction")
        self._missed = self._counter("slots_missed", "Slots that came too late to be used", *_BY_UPSTREAM)
        self._lost = self._counter("leases_lost", "Calls whose request was taken back", *_BY_POOL)
        self._late = self._counter("late_answers", "Answers that came after their request's outcome", *_BY_POOL)
        self._trouble = self._counter("store_errors", "Times that Redis failed a loop", *_BY_POOL, "loop")
        self._build = Gauge("sluicegate_build_info", "Always 1", ("version",), registry=self.registry)
        self._draining = Gauge("sluicegate_draining", "1 from SIGTERM on", registry=self.registry)
        self._in_flight = Gauge("sluicegate_calls_in_flight", "Leases that it holds", _BY_POOL, registry=self.registry)
        self._concurrency = Gauge("sluicegate_concurrency", "How many it may hold", _BY_POOL, registry=self.registry)
        ProcessCollector(registry=self.registry)
        self._by_event = self._count_by_event()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"sluicegate_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"sluicegate_{name}", text, labels or _BY_UPSTREAM, buckets=buckets, registry=self.registry)

    def open(self, version: str, upstreams: dict[str, tuple[str, ...]]) -> None:
        """Counters begin at 0 and not with their first event, so that a first one is an increase. `upstreams` by
        pool."""
        self._build.labels(version).set(1)
        for pool, names in upstreams.items():
            for counter in (self._lost, self._late):
                counter.labels(pool)
            for loop in get_args(Loop):
                self._trouble.labels(pool, loop)
            for reason in get_args(DeadReason):
                self._dead.labels(pool, reason)
            for upstream in names:
                self._missed.labels(pool, upstream)
                for status in ("2xx", "429", "failed"):
                    self._calls.labels(pool, upstream, status)
                for fault in get_args(Fault):
                    self._retries.labels(pool, upstream, fault or _NOBODYS)

    def measure(self, in_flight: dict[str, int], concurrency: int) -> None:
        """What it holds at this moment, by pool."""
        for pool, count in in_flight.items():
            self._in_flight.labels(pool).set(count)
            self._concurrency.labels(pool).set(concurrency)

    def __call__(self, event: Event, _: BaseException | None) -> None:
        count = self._by_event.get(type(event))
        if count is not None:
            count(event)

    def _count_by_event(self) -> dict[type[Event], Callable[[Any], object]]:
        return {
            told.RequestSent: self._count_sending,
            told.AttemptEnded: self._count_attempt,
            told.RequestRetried: lambda it: self._retries.labels(it.pool, it.upstream, it.fault or _NOBODYS).inc(),
            told.RequestBuried: lambda it: self._dead.labels(it.pool, it.reason).inc(),
            told.SlotMissed: lambda it: self._missed.labels(it.pool, it.upstream).inc(),
            told.LeaseLost: lambda it: self._lost.labels(it.pool).inc(),
            told.AnswerLate: lambda it: self._late.labels(it.pool).inc(),
            told.Leased: lambda it: self._leases.labels(it.pool).observe(it.took_s),
            told.StoreTrouble: lambda it: self._trouble.labels(it.pool, it.loop).inc(),
            told.DispatcherDraining: lambda _: self._draining.set(1),
        }

    def _count_sending(self, event: told.RequestSent) -> None:
        if event.attempt == 1:
            self._waits.labels(event.pool, event.lane).observe(event.queued_s)

    def _count_attempt(self, event: told.AttemptEnded) -> None:
        upstream = (event.pool, event.upstream)
        self._attempts.labels(*upstream, event.outcome).inc()
        if not event.called:
            return
        self._calls.labels(*upstream, _status_class(event)).inc()
        self._durations.labels(*upstream).observe(event.duration_s)
        if event.first_byte_s is not None:
            self._first_bytes.labels(*upstream).observe(event.first_byte_s)
        if event.tokens_in is not None:
            self._tokens.labels(*upstream, "input").inc(event.tokens_in)
        if event.tokens_out is not None:
            self._tokens.labels(*upstream, "output").inc(event.tokens_out)


def _status_class(event: told.AttemptEnded) -> str:
    """429 has one of its own: it is what this program is there to avoid."""
    if event.outcome == "cut":
        return "cut"
    if event.status is None:
        return "failed"
    return "429" if event.status == 429 else f"{event.status // 100}xx"
