"""One request once, as a pipeline: read it → wait for its slot → call the upstream → judge → write down what became
of it."""

import asyncio
import time
from collections.abc import Mapping
from random import Random

import msgspec

from sluicegate.batch import Batcher
from sluicegate.errors import InvalidRequest, StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.names import check_name
from sluicegate.paths import resolve_path
from sluicegate.store import Store
from sluicegate.wire import REQUEST_HEADERS, RequestHead
from sluicegate_worker.clock import StoreClock
from sluicegate_worker.conclusion import Conclusions
from sluicegate_worker.loops.relayer import Relayer
from sluicegate_worker.observe.events import Events
from sluicegate_worker.observe.reports import Course, RequestReports
from sluicegate_worker.outcome import Bury, Cut, Outcome, Retry
from sluicegate_worker.persistence import Persistence
from sluicegate_worker.policy import judge_answer, judge_failure
from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.relay import NobodyWaits, Relay
from sluicegate_worker.repairs import Repairs
from sluicegate_worker.rows import ExchangeRow, Leased
from sluicegate_worker.script_files import EXCHANGE
from sluicegate_worker.upstream.call import Answer, Call, Caller, CallFailed
from sluicegate_worker.upstream.rename import rename_model
from sluicegate_worker.upstream.trace_context import TraceContext

MISSED_S = 0.025  # a slot missed by more is exchanged, so that a stalled dispatcher never sends a burst
_FAR_S = 0.25  # a slot further away than this is handed back when draining
_MICRO = 1_000_000

_decode_head = msgspec.json.Decoder(RequestHead).decode
_encode = msgspec.json.Encoder().encode


class Target(msgspec.Struct, frozen=True):
    """An upstream as this dispatcher's own file knows it."""

    caller: Caller
    provider: str
    timeout_s: float
    model_map: dict[str, str]


class Attempts:
    """Carries out the attempts of one pool."""

    def __init__(
        self,
        store: Store,
        keys: PoolKeys,
        name: str,
        clock: StoreClock,
        targets: Mapping[str, Target],
        relayer: Relayer,
        repairs: Repairs,
        events: Events,
        draining: asyncio.Event,
    ) -> None:
        self._store, self._keys, self._name = store, keys, name
        self._clock, self._targets, self._relayer, self._draining = clock, targets, relayer, draining
        self._persistence = Persistence(store, keys, repairs, events, draining)
        providers = {upstream: target.provider for upstream, target in targets.items()}
        self._reports = RequestReports(events, keys.pool, providers)
        self._conclusions = Conclusions(self._persistence, clock, self._reports, providers)
        self._exchange: Batcher[ExchangeRow] = Batcher("exchange", self._exchange_slots)
        self._random = Random()
        self.policy: Policy

    async def carry_out(self, leased: Leased) -> None:
        """Never raises: whatever happens to one request, the dispatcher goes on."""
        try:
            head = self._read_head(leased)
        except (ValueError, RecursionError, InvalidRequest) as error:
            self._reports.undecodable(leased)
            await self._conclusions.conclude(leased, Bury("undecodable", f"its head is not readable: {error}"))
            return
        try:
            if head.stream_to is None:
                await self._send(leased, head, None)
            else:
                with self._relayer.open(leased, head.stream_to) as relay:
                    await self._send(leased, head, relay)
        except StoreUnavailable as error:
            self._reports.left(leased, error)
        except Exception as error:  # noqa: BLE001  # one request's trouble is not the others'
            self._reports.broke(leased, error)
            bug = CallFailed("bug", "the dispatcher failed; see its log")
            outcome = judge_failure(bug, leased.attempts, self.policy.retry, self._random)
            await self._conclusions.conclude(leased, outcome)

    def _read_head(self, leased: Leased) -> RequestHead:
        """Checked again here, beside the key: what is read from Redis must not lead the key anywhere else."""
        head = _decode_head(leased.head)
        resolve_path(head.method, head.path, (self._targets[leased.upstream].provider,))
        if head.stream_to is not None:
            check_name("producer", head.stream_to)
        return head

    async def _send(self, leased: Leased, head: RequestHead, relay: Relay | None) -> None:
        """`relay` passes the answer on while it comes."""
        if relay is not None and not await self._relayer.is_wanted(relay):
            await self._conclusions.conclude(leased, Cut())
            return
        slot = await self._wait_for_slot(leased)
        if slot is None:
            return
        if isinstance(slot, Retry):
            await self._conclusions.conclude(leased, slot)
            return
        target = self._targets[leased.upstream]
        ends_at = self._clock.monotonic_of(leased.deadline_us)
        sent_at = time.monotonic()
        if ends_at <= sent_at:
            late = Retry(0, False, "its deadline passed before it was sent", sent=False)
            await self._conclusions.conclude(leased, late)
            return
        queued_s = max(0, self._clock.store_us_of(sent_at) - leased.accepted_us) / _MICRO
        self._reports.sent(leased, queued_s)
        context = self._reports.begin_span(head.headers.get("traceparent"))
        course = Course(head.model, head.path, queued_s, context, sent_at, streamed=relay is not None)
        answer: Answer | None = None
        outcome: Outcome
        try:
            call = self._make_call(leased, head, target, ends_at - sent_at, context)
            answer = await self._call(target, call, relay)
            now_s = self._clock.store_us_of(time.monotonic()) / _MICRO
            outcome = judge_answer(answer, leased.attempts, leased.sends, self.policy.retry, now_s, self._random)
        except NobodyWaits as left:
            outcome = Cut()
            answer = Answer(0, {}, bytes(relay.body)) if relay is not None and left.called else None
        except CallFailed as failure:
            if failure.kind == "timeout" and time.monotonic() >= ends_at:
                outcome = Retry(0, False, "cut at its deadline")
            else:
                rules, begun = self.policy.retry, relay is not None and relay.begun
                outcome = judge_failure(failure, leased.attempts, rules, self._random, begun=begun)
        except asyncio.CancelledError:
            self._reports.ended(leased, Cut(), _end(course, relay))
            raise
        await self._conclusions.conclude(leased, outcome, answer, _end(course, relay))

    async def _call(self, target: Target, call: Call, relay: Relay | None) -> Answer:
        return await (target.caller.call(call) if relay is None else relay.listen(target.caller.call(call, relay)))

    async def _wait_for_slot(self, leased: Leased) -> float | Retry | None:
        """The slot's time once it has come, None where the request is no longer ours, or Retry to hand it back."""
        slot_at = self._clock.monotonic_of(leased.slot_us)
        while True:
            wait_s = slot_at - time.monotonic()
            if wait_s > _FAR_S and await self._drains_within(wait_s - _FAR_S):
                return Retry(0, False, "handed back by a dispatcher that drains", sent=False)
            if wait_s > 0:
                await asyncio.sleep(slot_at - time.monotonic())
            late_s = time.monotonic() - slot_at
            if late_s <= MISSED_S:
                return slot_at
            self._reports.slot_missed(leased, late_s)
            slot_us = await self._exchange.send(ExchangeRow(leased.fence, leased.id, leased.upstream))
            if slot_us == 0:
                self._reports.taken_over(leased)
                return None
            if slot_us < 0:
                return Retry(0, False, "handed back, for its upstream takes nothing now", sent=False)
            slot_at = self._clock.monotonic_of(slot_us)

    async def _drains_within(self, wait_s: float) -> bool:
        try:
            async with asyncio.timeout(wait_s):
                await self._draining.wait()
        except TimeoutError:
            return False
        return True

    async def _exchange_slots(self, rows: list[ExchangeRow]) -> list[int]:
        arguments = (self._name, self._clock.lead_us)
        answer: list[int] = await self._persistence.insist(
            lambda: EXCHANGE(self._store, self._keys, arguments, rows), f"{len(rows)} slots"
        )
        self._clock.see(answer[0], time.monotonic())
        return answer[1:]

    def _make_call(
        self, leased: Leased, head: RequestHead, target: Target, left_s: float, context: TraceContext | None
    ) -> Call:
        """What is streamed may go on until its deadline, as long as something comes; all else has `timeout_s`."""
        body = rename_model(leased.body, head.model, target.model_map)
        passed = {name: value for name, value in head.headers.items() if name in REQUEST_HEADERS}
        headers = {**passed, "idempotency-key": leased.id, "x-sluicegate-attempt": str(leased.sends)}
        if context is not None:  # what the provider does is part of this call, not beside it
            headers["traceparent"] = context.header
        if body:
            headers["content-type"] = "application/json"
        timeout_s = left_s if head.stream_to is not None else min(target.timeout_s, left_s)
        return Call(head.method, head.path, headers, body, timeout_s, target.timeout_s)


def _end(course: Course, relay: Relay | None) -> Course:
    first_at = None if relay is None else relay.first_at
    first_byte_s = None if first_at is None else first_at - course.sent_at
    return course._replace(duration_s=time.monotonic() - course.sent_at, first_byte_s=first_byte_s)
