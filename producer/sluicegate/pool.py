"""One pool as a producer sees it: its terms, its way in and its way back."""

import asyncio
import random
import time
from typing import Any

import msgspec

from sluicegate.batch import Batcher
from sluicegate.errors import (
    BacklogFull,
    InvalidRequest,
    ReplyTimeout,
    StoreUnavailable,
    UnknownRequest,
    WouldMissDeadline,
)
from sluicegate.estimate import Peek
from sluicegate.inbox import CLOSED, Inbox, Waiter
from sluicegate.keys import POOLS, PoolKeys
from sluicegate.liveness import Liveness
from sluicegate.pieces import Pieces
from sluicegate.script_files import CANCEL, ENQUEUE
from sluicegate.store import Store
from sluicegate.stream import OpenStream
from sluicegate.submission import Order, PoolTerms, prepare, takes_model
from sluicegate.ticket import Ticket, quietly_cancel
from sluicegate.wire import Reply, Submission

POOL_WAIT_S = 10.0
_POOL_POLL_S = 0.25
_PATIENCE_S = 8.0  # as long as a server takes to start again
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.05, 2.0
_MENDING_PAUSES_S = (0.05, 0.3, 1.0)
_FINAL = ("OOM", "NOPERM")  # what waiting does not cure
_MICRO = 1_000_000

Answer = list[Any]

_decode_terms = msgspec.json.Decoder(PoolTerms).decode


class PoolClient:
    """Submits to one pool and waits for its answers; one per pool and producer."""

    def __init__(self, store: Store, pool: str, producer: str) -> None:
        self.name = pool
        self._store = store
        self._keys = PoolKeys(pool)
        self._producer = producer
        self._batcher: Batcher[Submission] = Batcher(f"enqueue to {pool}", self._enqueue, lambda row: len(row.body))
        self._inbox = Inbox(store, self._keys, producer)
        self._liveness = Liveness(store, self._keys, producer)
        self._terms: PoolTerms | None = None
        self._version = self._latest_version = b""
        self._reading: asyncio.Task[PoolTerms] | None = None
        self._closing = False

    async def submit(self, order: Order, body: bytes, peek: Peek, agent: str | None) -> Ticket:
        submission, deadline_s = await self._prepare(order, body, peek, agent)
        waiter = self._inbox.expect(submission.id, deadline_s)
        return await self._hand_in(order, submission, waiter)

    async def stream(self, order: Order, body: bytes, peek: Peek, agent: str | None) -> OpenStream:
        """The same for an answer that is passed on while it comes; somebody must say that this producer lives."""
        submission, deadline_s = await self._prepare(order, body, peek, agent, self._producer)
        pieces = Pieces()
        try:
            await self._liveness.begin()
            waiter = self._inbox.expect(submission.id, deadline_s)
            waiter.streams.append(pieces)
            try:
                ticket = await self._hand_in(order, submission, waiter)
            finally:
                waiter.streams.remove(pieces)
        except BaseException:
            self._liveness.end()
            raise
        ticket.waiter.streams.append(pieces)  # another, where the key was another request's

        async def close() -> None:
            self._liveness.end()
            ticket.waiter.streams.remove(pieces)
            if not ticket.waiter.ended.is_set():
                self._inbox.forget(ticket.id, ticket.waiter)
                await quietly_cancel(ticket)

        return OpenStream(ticket.id, ticket.waiter, pieces, close)

    async def _hand_in(self, order: Order, submission: Submission, waiter: Waiter) -> Ticket:
        sent = self._batcher.send(submission)
        try:
            answer = await sent
            for pause_s in _MENDING_PAUSES_S:
                if answer[0] != b"broken":
                    break
                await asyncio.sleep(pause_s)  # a dispatcher mends it meanwhile
                sent = self._batcher.send(submission)
                answer = await sent
        except asyncio.CancelledError:
            self._inbox.forget(submission.id, waiter)
            await self._take_back(submission, sent)
            raise
        except Exception:
            self._inbox.forget(submission.id, waiter)
            raise
        kind, request_id = answer[0].decode(), answer[1].decode()
        if request_id != submission.id:  # the key is another request's: wait for that one
            self._inbox.forget(submission.id, waiter)
            waiter = self._inbox.expect(request_id, waiter.ends_at - time.monotonic())
            if kind != "final":
                await self._inbox.look([request_id])  # it may have ended before anybody listened
        if kind == "final":
            self._inbox.deliver(request_id, answer[2])
        elif kind not in ("waiting", "delayed", "in_flight"):
            self._inbox.forget(request_id, waiter)
            raise self._damaged(answer) if kind == "broken" else _refusal(kind, answer, order)
        position, eta_us = (int(answer[2]), int(answer[3])) if kind != "final" else (0, 0)
        return Ticket(request_id, position, eta_us / _MICRO, waiter, self.cancel)

    async def result(self, request_id: str, timeout: float) -> Reply:
        """The reply of a request that anybody submitted. Raises UnknownRequest, ReplyTimeout, or what the outcome
        is."""
        ticket, state = await self._find(request_id)
        if state != "final" and timeout <= 0:
            self._inbox.forget(request_id, ticket.waiter)
            raise ReplyTimeout(f"request {request_id} is not answered yet: it is {state}")
        return await ticket.reply(None if state == "final" else timeout)

    async def ticket(self, request_id: str) -> Ticket:
        """Of a request that anybody submitted. Raises UnknownRequest."""
        return (await self._find(request_id))[0]

    async def _find(self, request_id: str) -> tuple[Ticket, str]:
        """With its state, or final. Raises UnknownRequest."""
        waiter = self._inbox.expect(request_id, 0.0)  # its deadline is not known here: as if it had passed
        state = (await self._inbox.look([request_id]))[request_id]
        if state == "unknown":
            self._inbox.forget(request_id, waiter)
            raise self._unknown(request_id)
        return Ticket(request_id, 0, 0.0, waiter, self.cancel), state

    async def cancel(self, request_id: str) -> str:
        states: list[bytes] = await CANCEL(self._store, self._keys, (), [(request_id,)])
        if states[0] == b"unknown":
            raise self._unknown(request_id)
        return states[0].decode()

    async def terms(self) -> PoolTerms:
        """The pool's terms; agents may start before dispatchers, so a missing pool is waited for."""
        if self._terms is not None and self._version == self._latest_version:
            return self._terms
        if self._reading is None or self._reading.done():  # read once for all who ask at the same time
            self._reading = asyncio.create_task(self._read_terms(), name=f"terms of {self.name}")
        return await asyncio.shield(self._reading)

    async def _read_terms(self) -> PoolTerms:
        until = time.monotonic() + POOL_WAIT_S
        while not self._closing:
            version, policy = await self._store.call("HMGET", self._keys.fixed("config"), "version", "policy")
            if version is not None:
                break
            if time.monotonic() > until:
                raise InvalidRequest(
                    f"there is no pool {self.name!r} at {self._store.place}: "
                    "start a dispatcher or run `sluicegate pool apply`"
                )
            await asyncio.sleep(_POOL_POLL_S)
        else:
            raise StoreUnavailable(CLOSED)
        try:
            self._terms, self._version = _decode_terms(policy), version
            self._latest_version = version
        except (ValueError, TypeError) as error:
            raise StoreUnavailable(
                f"the policy of pool {self.name} cannot be read ({error}): run `sluicegate pool apply`"
            ) from error
        return self._terms

    async def _prepare(
        self, order: Order, body: bytes, peek: Peek, agent: str | None, stream_to: str | None = None
    ) -> tuple[Submission, float]:
        """With its deadline in seconds from now."""
        terms = await self.terms()
        try:
            submission = await self._check(order, body, peek, agent, terms, stream_to)
        except InvalidRequest:
            self._version = b""  # the policy may have changed since its terms were read
            terms = await self.terms()
            submission = await self._check(order, body, peek, agent, terms, stream_to)
        return submission, (submission.deadline_us / _MICRO) or terms.deadline_s

    async def _check(
        self, order: Order, body: bytes, peek: Peek, agent: str | None, terms: PoolTerms, stream_to: str | None
    ) -> Submission:
        if not terms.takes(peek.model):
            raise InvalidRequest(await self._wrong_pool(peek.model, terms))
        return prepare(order, body, peek, agent, terms, stream_to)

    async def _enqueue(self, submissions: list[Submission]) -> list[Any]:
        """Enqueue is idempotent by id, so a call whose reply was lost is simply made again."""
        give_up_at, pause_s = time.monotonic() + _PATIENCE_S, _PAUSE_S_MIN
        while True:
            try:
                answer = await ENQUEUE(self._store, self._keys, (self._producer,), submissions)
                break
            except StoreUnavailable as error:
                if error.answer in _FINAL or time.monotonic() + pause_s > give_up_at:
                    raise
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # apart from all the other producers
            pause_s = min(_PAUSE_S_MAX, pause_s * 2)
        if not isinstance(answer, list):
            raise InvalidRequest(f"pool {self.name} is gone from {self._store.place}: run `sluicegate pool apply`")
        self._latest_version = answer[0]
        return answer[1:]

    async def close(self) -> None:
        self._closing = True
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)  # who waits for it hears of the end
        await self._batcher.close()
        await self._liveness.close()
        await self._inbox.close()

    async def _take_back(self, submission: Submission, sent: asyncio.Future[Answer]) -> None:
        """The caller left while its request was on the way in: it stays here, or is cancelled when it has arrived. What
        it only joined is another call's, and lives on."""
        try:
            answer = await self._batcher.withdraw(submission) if sent.cancelled() else sent.result()
            if answer is not None and answer[0] in (b"waiting", b"delayed") and answer[-1] != b"joined":
                await self.cancel(submission.id)
        except Exception:  # noqa: BLE001  # the caller has left
            return  # not accepted, or out of reach: it ends at its deadline

    def _unknown(self, request_id: str) -> UnknownRequest:
        return UnknownRequest(
            f"no request {request_id} in pool {self.name}: never accepted, or its reply is no longer kept"
        )

    def _damaged(self, answer: Answer) -> StoreUnavailable:
        said = answer[2].decode(errors="replace")
        return StoreUnavailable(
            f"pool {self.name} cannot take request {answer[1].decode()}: its keys in Redis are damaged ({said:.200}); "
            "`sluicegate doctor` names them, and a running dispatcher mends them",
            said,
        )

    async def _wrong_pool(self, model: str | None, terms: PoolTerms) -> str:
        pools: Any = await self._store.call("HGETALL", POOLS)
        pairs = pools.items() if isinstance(pools, dict) else zip(pools[::2], pools[1::2], strict=True)
        others = [
            name.decode()
            for name, patterns in pairs
            if takes_model(msgspec.json.decode(patterns, type=tuple[str, ...]), model or "")
        ]
        serving = f"pool {' or '.join(others)} serves it" if others else "no pool serves it"
        return f"pool {self.name} does not serve model {model!r:.100} (it serves {', '.join(terms.models)}); {serving}"


def _refusal(kind: str, answer: Answer, order: Order) -> Exception:
    if kind == "conflict":
        what = f"key {order.key!r}" if order.key is not None else f"id {answer[1].decode()}"
        return InvalidRequest(f"{what} was used before with another method, path or body; use a new one")
    if kind == "too_large":
        return InvalidRequest(
            f"the body is larger than the {int(answer[2])} bytes that the pool takes (max_request_bytes)"
        )
    if kind == "too_many_tokens":
        return InvalidRequest(
            f"the request may take {int(answer[2])} tokens, and no upstream admits more than {int(answer[3])}: "
            "shorten it, or ask for a shorter answer"
        )
    seconds = int(answer[2]) / _MICRO
    if kind == "would_miss":
        return WouldMissDeadline(
            f"the request would be sent in about {seconds:.1f} s, which is after its deadline; allow it longer",
            seconds,
            int(answer[3]) / _MICRO,
        )
    whose = (
        "the agent's backlog (max_backlog_per_agent)"
        if kind == "agent_full"
        else "the pool's backlog (max_backlog or max_backlog_bytes)"
    )
    return BacklogFull(f"{whose} is full; try again in {seconds:.0f} s", seconds)
