"""FakeProducer: for the tests of who uses Sluicegate. No Redis, no dispatcher, no provider; answers as the test says.

    fake = FakeProducer()
    fake.script(BacklogFull("full", retry_after_s=2), FakeAnswer(body={"choices": []}))
    async with fake as producer: …            # or: with fake.blocking() as producer: …
    assert fake.asked[0].body["model"] == "gpt-4o"

What it takes and refuses is judged by the rules of the real one, and tickets, replies and streams are the real ones, so
that it also works under `AsyncQueueTransport` and, by `blocking`, under `QueueTransport`.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self, Unpack

import msgspec

from sluicegate.blocking import Producer
from sluicegate.errors import (
    DeadlineExceeded,
    InvalidRequest,
    RequestCancelled,
    RequestDead,
    SluicegateError,
    StoreUnavailable,
    UnknownRequest,
    WouldMissDeadline,
)
from sluicegate.fake_answers import OUTCOMES, REFUSALS, Asked, FakeAnswer, FakeStream, Rule, Step, check_step
from sluicegate.inbox import CLOSED, Waiter
from sluicegate.pieces import Pieces
from sluicegate.producer import AsyncProducer, read_order
from sluicegate.stream import OpenStream, ReplyStream
from sluicegate.submission import Options, PoolTerms, UpstreamTerms, prepare
from sluicegate.ticket import Ticket, quietly_cancel
from sluicegate.wire import Reply, ReplyHead, StreamHead, Submission, encode_reply, open_reply

__all__ = ["Asked", "FakeAnswer", "FakeProducer", "FakeStream"]

_DEADLINE_S = 300.0
_MICRO = 1_000_000


class _Request(NamedTuple):
    digest: str
    waiter: Waiter
    answering: asyncio.Task[None]


class FakeProducer(AsyncProducer):
    """`asked` is all that was accepted or refused by the script, in order. `provider` says which paths there are."""

    def __init__(self, *, agent: str = "test", provider: str = "openai") -> None:
        super().__init__("redis://fake", pool="fake", agent=agent)
        self.asked: list[Asked] = []
        self._default_agent = agent
        self._terms = PoolTerms(("*",), 1_048_576, _DEADLINE_S, [UpstreamTerms(provider)])
        self._script: deque[Step | Rule] = deque()
        self._always: Step | Rule = FakeAnswer()
        self._requests: dict[str, _Request] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._is_open = False

    def script(self, *steps: Step | Rule) -> None:
        """What becomes of the next requests, one after the other; a function is given what was asked."""
        self._script.extend(step if callable(step) else check_step(step) for step in steps)

    def always(self, step: Step | Rule) -> None:
        """What becomes of all for which the script has nothing; at first an empty object."""
        self._always = step if callable(step) else check_step(step)

    def blocking(self) -> Producer:
        """The same for synchronous code."""
        return _BlockingFake(self)

    async def __aenter__(self) -> Self:
        self._is_open, self._closing = True, False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        for request in self._requests.values():
            request.answering.cancel()
            _end(request, None, StoreUnavailable(CLOSED))
        await asyncio.gather(*(request.answering for request in self._requests.values()), return_exceptions=True)

    async def submit(self, path: str, body: Any, **options: Unpack[Options]) -> Ticket:
        if self._closing:
            raise StoreUnavailable(CLOSED)
        if not self._is_open:
            raise InvalidRequest("not open: use the producer inside `async with`")
        submission, asked = self._read(path, body, options)
        request = self._known(submission)
        if request is None:
            request = self._accept(submission, asked)
        return Ticket(self._id_of(submission), 1, 0.0, request.waiter, self.cancel)

    def stream(self, path: str, body: Any, **options: Unpack[Options]) -> ReplyStream:
        read_order(path, body, options)  # what is wrong with them is said at once

        async def submit() -> OpenStream:
            ticket, pieces = await self.submit(path, body, **options), Pieces()
            ticket.waiter.streams.append(pieces)

            async def close() -> None:
                if not ticket.waiter.ended.is_set():
                    await quietly_cancel(ticket)

            return OpenStream(ticket.id, ticket.waiter, pieces, close)

        return ReplyStream(submit)

    async def result(self, id: str, timeout: float = 0) -> Reply:
        return await Ticket(id, 0, 0.0, self._find(id).waiter, self.cancel).reply(timeout)

    async def ticket(self, id: str) -> Ticket:
        return Ticket(id, 0, 0.0, self._find(id).waiter, self.cancel)

    async def cancel(self, id: str) -> str:
        request = self._find(id)
        if not request.waiter.ended.is_set():
            request.answering.cancel()
            _end(request, encode_reply(self._head("", RequestCancelled(""))))
        try:
            open_reply(id, request.waiter.result())
        except (RequestCancelled, DeadlineExceeded, RequestDead) as error:
            return OUTCOMES[type(error)]
        return "ok"

    def _find(self, id: str) -> _Request:
        try:
            return self._requests[id]
        except KeyError:
            raise UnknownRequest(f"no request {id} was submitted") from None

    def _read(self, path: str, body: Any, options: Options) -> tuple[Submission, Asked]:
        order, encoded, peek = read_order(path, body, options)
        submission = prepare(order, encoded, peek, self._default_agent, self._terms)
        decoded = msgspec.json.decode(encoded) if encoded else None
        return submission, Asked(submission.id, path, decoded, submission.agent, options)

    def _id_of(self, submission: Submission) -> str:
        return self._ids.get((submission.agent, submission.key), submission.id)

    def _known(self, submission: Submission) -> _Request | None:
        known = self._requests.get(self._id_of(submission))
        if known is not None and known.digest != submission.digest:
            raise InvalidRequest("its key or id was used before with another method, path or body; use a new one")
        return known

    def _accept(self, submission: Submission, asked: Asked) -> _Request:
        later_s, deadline_s = submission.not_before_us / _MICRO, (submission.deadline_us / _MICRO) or _DEADLINE_S
        if later_s > deadline_s:
            raise WouldMissDeadline(
                f"the request would be sent in about {later_s:.1f} s, which is after its deadline; allow it longer",
                later_s,
                max(1.0, later_s - deadline_s),
            )
        self.asked.append(asked)
        step = self._script.popleft() if self._script else self._always
        if callable(step):
            step = check_step(step(asked))
        if isinstance(step, REFUSALS):
            raise step
        waiter = Waiter(0.0)
        answering = asyncio.create_task(self._answer(submission, step, waiter, later_s, deadline_s))
        request = self._requests[submission.id] = _Request(submission.digest, waiter, answering)
        if submission.key:
            self._ids[submission.agent, submission.key] = submission.id
        return request

    async def _answer(
        self, submission: Submission, step: Step, waiter: Waiter, later_s: float, deadline_s: float
    ) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.sleep(later_s)
                blob = await self._make_reply(submission, step, waiter)
        except TimeoutError:
            head = self._head(submission.agent, DeadlineExceeded(""))
            head.queued_s = deadline_s
            blob = encode_reply(head)
        waiter.end(blob)

    async def _make_reply(self, submission: Submission, step: Step, waiter: Waiter) -> bytes:
        head = self._head(submission.agent, step if isinstance(step, SluicegateError) else None)
        if isinstance(step, SluicegateError):
            return encode_reply(head)
        await asyncio.sleep(step.delay_s)
        if isinstance(step, FakeAnswer):
            head.status, head.headers = step.status, step.headers
            head.usage = step.body.get("usage") if isinstance(step.body, Mapping) else None
            return encode_reply(head, step.encode())
        head.status, head.headers = 200, step.headers
        await _feed(step, waiter)
        if step.breaks_off:
            return encode_reply(self._head(submission.agent, RequestDead("", "upstream_error", None, "it broke off")))
        return encode_reply(head, b"".join(step.chunks))

    def _head(self, agent: str, error: SluicegateError | None) -> ReplyHead:
        head = ReplyHead("ok" if error is None else OUTCOMES[type(error)], agent, "", attempts=1, upstream="fake")
        if isinstance(error, RequestDead):
            head.reason, head.status, head.error = error.reason, error.status, error.last_error
        return head


class _BlockingFake(Producer):
    def __init__(self, fake: FakeProducer) -> None:
        super().__init__(pool="fake", agent="fake")
        self._make = lambda: fake


def _end(request: _Request, blob: bytes | None, error: StoreUnavailable | None = None) -> None:
    if not request.waiter.ended.is_set():
        request.waiter.end(blob, error)


async def _feed(step: FakeStream, waiter: Waiter) -> None:
    line, offset = msgspec.json.encode(StreamHead(200, step.headers)) + b"\n", 0
    for number, chunk in enumerate(step.chunks):
        if number:
            await asyncio.sleep(step.pause_s)
        for pieces in waiter.streams:
            pieces.add(1, offset, chunk if offset else line + chunk)
        offset += len(chunk)
