"""A pool's history, driven step by step: dispatchers as they really behave, and a record of what allowed each call.

A dispatcher here knows what a real one knows: what it was told by the answers it heard. It renews before anybody misses
it, sends within 25 ms of a slot or exchanges it, and ends a call when a renewal says that it has an outcome.
"""

from collections import Counter
from itertools import pairwise

from msgspec import Struct, field

from sluicegate.wire import Submission
from sluicegate_worker.rows import Leased
from support.consistency import find_contradictions
from support.contents import read_contents
from support.scripts import POOL, PRICE_US, SECOND_US, Bench

MISSED_US = 25_000
LEASE_S = 10
RENEWAL_US = 3 * SECOND_US  # seldom, but before it would be taken for a silence


class Worker(Struct):
    """`held` is what it believes to hold, by fence; `sent` what of that it has called; `risked` what it held when it
    stalled; `unsure` that a lease went unanswered."""

    name: str
    held: dict[str, Leased] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    risked: set[str] = field(default_factory=set)
    known_us: int = 0
    unsure: bool = False


class History:
    """Keeps the books: how often each request was called, and why each of its calls was allowed."""

    def __init__(self, bench: Bench, workers: int) -> None:
        self._bench = bench
        self._names = 0
        self.workers = [self._hire() for _ in range(workers)]
        self.orders: list[Submission] = []
        self.faults = 0
        self._calls: Counter[str] = Counter()
        self._allowed: Counter[str] = Counter()
        self._outcomes: dict[str, str] = {}

    def _hire(self) -> Worker:
        self._names += 1
        return Worker(f"d{self._names}")

    async def enqueue(self, order: Submission) -> None:
        """An order may come again: it is still one request."""
        [answer] = await self._bench.enqueue(order)
        if answer.id == order.id and answer.kind in ("waiting", "delayed") and order not in self.orders:
            self.orders.append(order)
            self._allowed[order.id] += 1

    async def lease(self, worker: Worker, count: int, answer: str) -> None:
        """The answer is heard, heard late, after a renewal, or lost."""
        grant = await self._bench.lease(worker.name, count=count)
        if answer == "late":
            await self.renew(worker)
        if answer == "lost":
            worker.unsure = True
        else:
            worker.known_us = grant.now_us
            worker.held |= {leased.fence: leased for leased in grant.leased}

    async def send(self, worker: Worker, leased: Leased) -> None:
        """At its slot, or at the next one; not where it is no longer this worker's, or nothing goes to its upstream."""
        while self._bench.now_us > leased.slot_us + MISSED_US:
            [slot_us] = await self._bench.exchange(leased, dispatcher=worker.name)
            if slot_us < 0:
                return await self.hand_back(worker, leased)
            if slot_us == 0:
                del worker.held[leased.fence]
                return None
            leased = worker.held[leased.fence] = leased._replace(slot_us=slot_us)
        self._bench.advance(max(0, leased.slot_us - self._bench.now_us))
        worker.sent.add(leased.fence)
        self._calls[leased.id] += 1
        return None

    async def settle(self, worker: Worker, leased: Leased, *, heard: bool) -> None:
        """Who does not hear the answer says it again."""
        body = b'"%s"' % leased.fence.encode()
        answer = await self._bench.settle(leased, body=body)
        if not heard:
            assert await self._bench.settle(leased, body=body) == answer
        self._forget(worker, leased)

    async def fail(self, worker: Worker, leased: Leased, delay_us: int) -> None:
        if await self._bench.retry(leased, delay_us=delay_us) != ["lost"]:
            self._allowed[leased.id] += 1
        self._forget(worker, leased)

    async def hand_back(self, worker: Worker, leased: Leased) -> None:
        await self._bench.retry(leased, delay_us=0, used=0, sent=False)
        self._forget(worker, leased)

    async def bury(self, worker: Worker, leased: Leased) -> None:
        await self._bench.bury(leased)
        self._forget(worker, leased)

    async def replay(self, request_id: str) -> None:
        if await self._bench.replay(request_id) == ["replayed"]:
            self._allowed[request_id] += 1
            self._outcomes.pop(request_id, None)

    async def leave(self, worker: Worker) -> None:
        await self._bench.leave(worker.name)
        self._replace(worker)

    def crash(self, worker: Worker) -> None:
        """Whatever it had in flight may be called once more."""
        self._blame(worker)
        self._replace(worker)

    async def live(self, seconds: float, silent: Worker | None = None) -> None:
        """Time passes, in which everybody does what dispatchers do by themselves, but for one that stalls."""
        if silent is not None and seconds > LEASE_S / 2:
            self._blame(silent)
            silent.risked |= set(silent.held)
        left_us = int(seconds * SECOND_US)
        while left_us > 0:
            step_us = min(left_us, RENEWAL_US)
            left_us -= step_us
            self._bench.advance(step_us)
            awake = [worker for worker in self.workers if worker is not silent]
            for worker in awake:
                if worker.held or worker.unsure:
                    await self.renew(worker)
            await self._bench.lease(awake[0].name, count=0)  # whoever looks for work does so for all

    async def stand_still(self, seconds: float) -> None:
        """The server is away, or everybody; then all go on."""
        self._bench.advance(int(seconds * SECOND_US))
        await self.live(1)

    async def renew(self, worker: Worker) -> None:
        """What a living dispatcher does by itself.

        It loses nothing that it holds, or the same call would be made twice without anybody's fault.
        """
        answer = await self._bench.renew(worker.name, *worker.held.values(), known_us=worker.known_us)
        for fence, word in answer.items():
            assert word == "ended" or fence in worker.risked, f"{worker.name} lived, and lost {worker.held[fence].id}"
            if word == "ended":
                self._forget(worker, worker.held[fence])

    def _blame(self, worker: Worker) -> None:
        self.faults += 1
        self._allowed.update(leased.id for leased in worker.held.values())

    def _replace(self, worker: Worker) -> None:
        self.workers[self.workers.index(worker)] = self._hire()

    @staticmethod
    def _forget(worker: Worker, leased: Leased) -> None:
        worker.held.pop(leased.fence, None)
        worker.sent.discard(leased.fence)

    async def check(self) -> None:
        """I2, I3, I4, and that everything in Redis agrees with itself."""
        assert find_contradictions(await read_contents(self._bench.redis), POOL) == []
        await self.check_calls()
        slots = sorted(self._bench.slots)
        assert all(later - earlier >= PRICE_US for earlier, later in pairwise(slots))

    async def check_calls(self) -> None:
        """I2 and I3."""
        replies = await self._bench.redis.mget([self._bench.keys.reply(one.id) for one in self.orders] or ["none"])
        for order, reply in zip(self.orders, replies, strict=False):
            if reply is not None:
                assert self._outcomes.setdefault(order.id, reply) == reply, f"the outcome of {order.id} has changed"
            assert order.id not in self._outcomes or reply is not None, f"the outcome of {order.id} is gone"
        too_often = self._calls - self._allowed
        assert not too_often, f"called more often than anything accounts for: {dict(too_often)}"
