"""Virtual time: the real scripts by the bench's clock, the simulator's own limits, and one dispatcher between them.

Nothing here waits. Events lie in a heap by their times; a dispatcher leases when the script says so, sends at the slot,
and hands to the scripts what the product's own readers make of the simulated answer.
"""

import heapq
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from random import Random
from typing import Any

from msgspec import Struct, field

from sluicegate.wire import Submission
from sluicegate_worker.outcome import Retry
from sluicegate_worker.policy import judge_answer
from sluicegate_worker.policy_settings import Retry as RetryRules
from sluicegate_worker.rows import Leased
from sluicegate_worker.simulator.behaviour import Behaviour
from sluicegate_worker.simulator.dialects import DIALECTS
from sluicegate_worker.simulator.metering import Meter, Verdict
from sluicegate_worker.upstream.call import Answer
from sluicegate_worker.upstream.lessons import write_reported, write_usage
from support.scripts import SECOND_US, START_US, Bench

Event = Callable[[], Coroutine[Any, Any, None]]


class Sent(Struct):
    """A call as the provider saw it."""

    at_us: int
    agent: str
    tokens_in: int
    tokens_out: int
    status: int
    waited_us: int


class Provider(Struct):
    """One upstream's other end. `outage`: the status that all calls get while it is set."""

    behaviour: Behaviour
    meter: Meter
    outage: int | None = None

    @classmethod
    def make(cls, **limits: Any) -> "Provider":
        behaviour = Behaviour(**limits)
        return cls(behaviour, Meter(behaviour, START_US))

    def change(self, now_us: int, **limits: Any) -> None:
        self.behaviour = Behaviour(**limits)
        self.meter.change(self.behaviour, now_us)


class VirtualTraffic(Struct):
    """`sent` and `answered` are the books; sizes of a request stand in its `order`."""

    bench: Bench
    providers: dict[str, Provider]
    latency_us: int = 200_000
    room: int = 200
    seed: int = 1
    on_lease: Callable[[Leased], None] = field(default=lambda _: None)
    sent: list[Sent] = field(default_factory=list)
    answered: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    _orders: dict[str, Submission] = field(default_factory=dict)
    _events: list[tuple[int, int, Event]] = field(default_factory=list)
    _serial: Iterator[int] = field(default_factory=count)
    _random: Random = field(default_factory=lambda: Random(1))
    _in_flight: int = 0
    _wakes_at_us: float = float("inf")
    _asleep_by_turn: bool = False

    def at(self, at_us: int, event: Event) -> None:
        heapq.heappush(self._events, (at_us, next(self._serial), event))

    def submit_at(self, at_us: int, order: Submission) -> None:
        async def submit() -> None:
            await self.submit(order)

        self.at(at_us, submit)

    async def submit(self, *orders: Submission) -> None:
        for answer, order in zip(await self.bench.enqueue(*orders), orders, strict=True):
            self._orders[order.id] = order
            self.refused += answer.kind not in ("waiting", "delayed")
        await self._take_token()

    async def run(self, until_us: int) -> None:
        """Everything that happens until then, in order."""
        if self._wakes_at_us == float("inf"):
            self._wake(self.bench.now_us)
        while True:
            next_us = self._events[0][0] if self._events else float("inf")
            at_us = int(min(next_us, self._wakes_at_us, until_us))
            self.bench.advance(max(0, at_us - self.bench.now_us))
            if at_us >= until_us:
                return
            if self._wakes_at_us <= next_us:
                await self._lease()
            else:
                await heapq.heappop(self._events)[2]()

    async def stop(self) -> None:
        """Nobody waits for the rest any more."""
        left = [one for one in self._orders if one not in self.answered]
        for at in range(0, len(left), 200):
            await self.bench.cancel(*left[at : at + 200])

    def _wake(self, at_us: float) -> None:
        self._wakes_at_us = at_us

    async def _take_token(self) -> None:
        """A dispatcher that sleeps for all does not hear the token; another would."""
        if self._wakes_at_us > self.bench.now_us and await self.bench.redis.lpop(self.bench.keys.fixed("wake")):
            self._wake(self.bench.now_us)

    async def _lease(self) -> None:
        if self._asleep_by_turn:
            await self.bench.pass_on("d1")
            await self.bench.redis.lpop(self.bench.keys.fixed("wake"))
        grant = await self.bench.lease("d1", count=max(0, self.room - self._in_flight))
        self._in_flight += len(grant.leased)
        for leased in grant.leased:
            self.on_lease(leased)
            self._send_at(leased)
        self._asleep_by_turn = grant.verdict == "turn"
        full = grant.verdict == "full"
        self._wake(self.bench.now_us + (10_000 if full and self._in_flight >= self.room else max(1, grant.wait_us)))

    def _send_at(self, leased: Leased) -> None:
        async def send() -> None:
            await self._send(leased)

        self.at(max(leased.slot_us, self.bench.now_us), send)

    async def _send(self, leased: Leased) -> None:
        now_us, provider = self.bench.now_us, self.providers[leased.upstream]
        order = self._orders[leased.id]
        out = max(0, order.tokens_out)
        status = provider.outage or 200
        verdict = None
        if provider.outage is None:
            verdict = provider.meter.arrive(now_us, order.tokens_in, out, out)
            status = 200 if verdict.admitted else 429
        waited_us = now_us - leased.accepted_us
        self.sent.append(Sent(now_us, leased.agent, order.tokens_in, out, status, waited_us))

        async def end() -> None:
            self._in_flight -= 1
            await self._conclude(leased, provider, status, verdict)
            await self._take_token()

        self.at(now_us + (self.latency_us if status == 200 else 5_000), end)

    async def _conclude(self, leased: Leased, provider: Provider, status: int, verdict: Verdict | None) -> None:
        order, profile = self._orders[leased.id], provider.behaviour.profile
        out, now_s = max(0, order.tokens_out), self.bench.now_us / SECOND_US
        dialect = DIALECTS.get(profile)
        headers: dict[str, str] = {}
        if verdict is not None and dialect is not None:
            headers = dialect.limit_headers(verdict.standings, verdict.at_us)
            headers |= dialect.retry_headers(verdict.wait_us) if status == 429 else {}
        if status != 200:
            answer = Answer(status, headers, b"")
            outcome = judge_answer(answer, leased.attempts, leased.sends, RetryRules(), now_s, self._random)
            await self._retry(leased, outcome)
            return
        if verdict is not None and verdict.receipt is not None:
            provider.meter.finish(self.bench.now_us, verdict.receipt, out)
        usage = write_usage(profile, {"prompt_tokens": order.tokens_in, "completion_tokens": out}, leased.asked_out)
        reported = write_reported(profile, headers, now_s)
        await self.bench.settle(leased, usage=usage, reported=reported)
        del self.bench.leased[leased.fence]
        self.answered[leased.id] = self.bench.now_us

    async def _retry(self, leased: Leased, outcome: object) -> None:
        if isinstance(outcome, Retry):
            delay_us, pause_us = int(outcome.delay_s * SECOND_US), int(outcome.pause_s * SECOND_US)
            used = int(outcome.uses_attempt)
            await self.bench.retry(leased, delay_us=delay_us, used=used, pause_us=pause_us, fault=outcome.fault)
        else:
            await self.bench.bury(leased)
        del self.bench.leased[leased.fence]
