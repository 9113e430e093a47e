"""The agents of a run: they offer its traffic through one producer and wait for every outcome."""

import asyncio
import time
from collections import Counter

from sluicegate import (
    AsyncProducer,
    BacklogFull,
    DeadlineExceeded,
    InvalidRequest,
    ReplyTimeout,
    RequestCancelled,
    RequestDead,
    StoreUnavailable,
    Ticket,
    UnknownRequest,
    WouldMissDeadline,
)
from sluicegate.names import new_id
from sluicegate_worker.demo.records import Record, State
from sluicegate_worker.demo.traffic import PATH, Agent, Arrival, Plan, write_body

# What is not answered so long after its deadline counts as lost: by then a crashed dispatcher's lease has run out and
# a server that was away has been back for a while.
PATIENCE_S = 30.0
RETRY_S = 0.5


class Clients:
    """All agents of a run over one producer. `records` has every offered request, `counts` their states so far."""

    def __init__(self, producer: AsyncProducer, model: str, deadline_s: float | None, longest_s: float) -> None:
        """`deadline_s` goes with each request (None: the pool's own); `longest_s` is how long one can take with it."""
        self._producer = producer
        self._model = model
        self._deadline_s = deadline_s
        self._patience_s = longest_s + PATIENCE_S
        self.records: list[Record] = []
        self.counts: Counter[State] = Counter()

    async def run(self, plan: Plan) -> tuple[float, float]:
        """Returns for how long agents offered, and how long the rest took to drain."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        stop_at = began_at + plan.duration_s
        async with asyncio.TaskGroup() as group:
            for hog in plan.crew.hogs:
                for _ in range(plan.outstanding_per_hog):
                    group.create_task(self._insist(hog, stop_at))
            for arrival in plan.arrivals:
                await asyncio.sleep(began_at + arrival.offset_s - loop.time())
                group.create_task(self._ask(arrival))
            await asyncio.sleep(stop_at - loop.time())
            stopped_at = loop.time()
        return stopped_at - began_at, loop.time() - stopped_at

    async def _insist(self, hog: Agent, stop_at: float) -> None:
        loop = asyncio.get_running_loop()
        while (left_s := stop_at - loop.time()) > 0:
            refused_for_s = await self._ask(Arrival(0, hog))
            await asyncio.sleep(min(refused_for_s, left_s))

    async def _ask(self, arrival: Arrival) -> float:
        """One request to its end. Returns for how long asking again is pointless: 0 unless it was refused."""
        record = Record(arrival.agent.name, arrival.agent.group, time.time())
        self.records.append(record)
        body = write_body(self._model, arrival.context_tokens, arrival.generated_tokens)
        try:
            ticket = await self._submit(record, body)
        except (BacklogFull, WouldMissDeadline, InvalidRequest, StoreUnavailable) as error:
            record.error = str(error)
            self.counts["refused"] += 1
            return error.retry_after_s if isinstance(error, BacklogFull) else RETRY_S
        record.id, record.state = ticket.id, "lost"
        await self._await_outcome(ticket, record)
        self.counts[record.state] += 1
        return 0

    async def _submit(self, record: Record, body: bytes) -> Ticket:
        """What the server took or did not take as it went away is safe to offer again under the same id."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience_s
        request_id = new_id()
        while True:
            record.enqueued_at = time.time()
            try:
                return await self._producer.submit(
                    PATH, body, agent=record.agent, id=request_id, deadline=self._deadline_s
                )
            except StoreUnavailable:
                if loop.time() >= give_up_at:
                    raise
                await asyncio.sleep(RETRY_S)

    async def _await_outcome(self, ticket: Ticket, record: Record) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience_s
        while loop.time() < give_up_at:
            try:
                await self._await_reply(ticket, record, give_up_at - loop.time())
            except StoreUnavailable as error:  # the reply is kept; the server may come back
                record.error = str(error)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _await_reply(self, ticket: Ticket, record: Record, timeout_s: float) -> None:
        try:
            reply = await ticket.reply(timeout=timeout_s)
        except DeadlineExceeded as error:
            record.state, record.error = "expired", str(error)
        except RequestCancelled as error:
            record.state, record.error = "cancelled", str(error)
        except RequestDead as error:
            record.state, record.status, record.error = "dead", error.status, str(error)
        except (ReplyTimeout, UnknownRequest) as error:
            record.error = str(error)
            return
        else:
            record.state, record.status, record.error = "ok", reply.status, None
            record.attempts, record.upstream = reply.attempts, reply.upstream
            record.sent_at = record.enqueued_at + reply.queued_s
        record.done_at = time.time()
