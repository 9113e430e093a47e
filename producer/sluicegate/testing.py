"""FakeProducer: for the tests of who uses Sluicegate. No Redis, no dispatcher, no provider; answers as the test says.

    fake = FakeProducer()
    fake.script(BacklogFull("full", retry_after_s=2), FakeAnswer({"choices": []}))
    async with fake as producer: …            # or: with fake.blocking() as producer: …
    assert fake.asked[0].body["model"] == "gpt-4o"

What it takes and refuses is judged by the rules of the real one, and tickets, replies and streams are the real ones, so
that it also works under `AsyncQueueTransport` and, by `blocking`, under `QueueTransport`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar, Unpack

import msgspec
from msgspec import Struct, field

from sluicegate.blocking import Producer
from sluicegate.errors import (
    BacklogFull,
    DeadlineExceeded,
    InvalidRequest,
    RequestCancelled,
    RequestDead,
    SluicegateError,
    StoreUnavailable,
    UnknownRequest,
    WouldMissDeadline,
)
from sluicegate.estimate import read_peek
from sluicegate.inbox import CLOSED, Waiter
from sluicegate.pieces import Pieces
from sluicegate.producer import AsyncProducer
from sluicegate.stream import OpenStream, ReplyStream
from sluicegate.submission import Options, Order, PoolTerms, UpstreamTerms, encode_body, prepare
from sluicegate.ticket import Ticket, quietly_cancel
from sluicegate.wire import Reply, ReplyHead, StreamHead, Submission, encode_reply, open_reply

_REFUSALS = (InvalidRequest, BacklogFull, WouldMissDeadline, StoreUnavailable)
_DEADLINE_S = 300.0

Answer = TypeVar("Answer")


class FakeAnswer(Struct, frozen=True, kw_only=True):
    """`body` is an object, or bytes; it comes after `delay_s`, which may be more than the deadline."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    delay_s: float = 0.0


class FakeStream(Struct, frozen=True, kw_only=True):
    """`chunks` come one by one, the first after `delay_s`, each other `pause_s` after the one before. With `breaks_off`
    no end comes after them."""

    chunks: Sequence[bytes] = ()
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    delay_s: float = 0.0
    pause_s: float = 0.0
    breaks_off: bool = False


class Asked(NamedTuple):
    """A request as it came: `body` decoded, `options` as they were given."""

    id: str
    path: str
    body: Any
    agent: str
    options: Options


Step = FakeAnswer | FakeStream | SluicegateError
Rule = Callable[[Asked], Step]


class _Request(NamedTuple):
    digest: str
    waiter: Waiter
    pieces: Pieces
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

    def script(self, *steps: Step | Rule) -> None:
        """What becomes of the next requests, one after the other; a function is given what was asked."""
        self._script.extend(steps)

    def always(self, step: Step | Rule) -> None:
        """What becomes of all for which the script has nothing; at first an empty object."""
        self._always = step

    def blocking(self) -> Producer:
        """The same for synchronous code."""
        return _BlockingFake(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for request in self._requests.values():
            request.answering.cancel()
            _end(request, None, StoreUnavailable(CLOSED))
        await asyncio.gather(*(request.answering for request in self._requests.values()), return_exceptions=True)

    async def submit(self, path: str, body: Any, **options: Unpack[Options]) -> Ticket:
        submission, asked = self._read(path, body, options)
        request = self._known(submission)
        if request is None:
            request = self._accept(submission, asked)
        return Ticket(self._id_of(submission), 1, 0.0, request.waiter, self.cancel)

    def stream(self, path: str, body: Any, **options: Unpack[Options]) -> ReplyStream:
        async def submit() -> OpenStream:
            ticket = await self.submit(path, body, **options)
            request = self._requests[ticket.id]

            async def close() -> None:
                if not request.waiter.ended.is_set():
                    await quietly_cancel(ticket)

            return OpenStream(ticket.id, request.waiter, request.pieces, close)

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
            return _STATES[type(error)]
        return "ok"

    def _find(self, id: str) -> _Request:
        try:
            return self._requests[id]
        except KeyError:
            raise UnknownRequest(f"no request {id} was submitted") from None

    def _read(self, path: str, body: Any, options: Options) -> tuple[Submission, Asked]:
        order, encoded = Order(path=path, body=body, **options), encode_body(body)
        submission = prepare(order, encoded, read_peek(encoded, path), self._default_agent, self._terms)
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
        self.asked.append(asked)
        step = self._script.popleft() if self._script else self._always
        if not isinstance(step, Step):
            step = step(asked)
        if isinstance(step, _REFUSALS):
            raise step
        waiter, pieces = Waiter(0.0), Pieces()
        waiter.streams.append(pieces)
        answering = asyncio.create_task(self._answer(submission, step, waiter, pieces))
        request = self._requests[submission.id] = _Request(submission.digest, waiter, pieces, answering)
        if submission.key:
            self._ids[submission.agent, submission.key] = submission.id
        return request

    async def _answer(self, submission: Submission, step: Step, waiter: Waiter, pieces: Pieces) -> None:
        try:
            async with asyncio.timeout((submission.deadline_us / 1_000_000) or _DEADLINE_S):
                blob = await self._make_reply(submission, step, pieces)
        except TimeoutError:
            blob = encode_reply(self._head(submission.agent, DeadlineExceeded("")))
        waiter.end(blob)

    async def _make_reply(self, submission: Submission, step: Step, pieces: Pieces) -> bytes:
        head = self._head(submission.agent, step if isinstance(step, SluicegateError) else None)
        if isinstance(step, SluicegateError):
            return encode_reply(head)
        await asyncio.sleep(step.delay_s)
        if isinstance(step, FakeAnswer):
            head.status, head.headers = step.status, step.headers
            body = step.body if isinstance(step.body, bytes) else msgspec.json.encode(step.body)
            head.usage = step.body.get("usage") if isinstance(step.body, Mapping) else None
            return encode_reply(head, body)
        head.status, head.headers = 200, step.headers
        await _feed(step, pieces)
        if step.breaks_off:
            return encode_reply(self._head(submission.agent, RequestDead("", "upstream_error", None, "it broke off")))
        return encode_reply(head, b"".join(step.chunks))

    def _head(self, agent: str, error: SluicegateError | None) -> ReplyHead:
        head = ReplyHead("ok" if error is None else _STATES[type(error)], agent, "", attempts=1, upstream="fake")
        if isinstance(error, RequestDead):
            head.reason, head.status, head.error = error.reason, error.status, error.last_error
        return head


class _BlockingFake(Producer):
    def __init__(self, fake: FakeProducer) -> None:
        super().__init__(pool="fake", agent="fake")
        self._make = lambda: fake


_STATES: dict[type[SluicegateError], str] = {
    RequestCancelled: "cancelled",
    DeadlineExceeded: "expired",
    RequestDead: "dead",
}


def _end(request: _Request, blob: bytes | None, error: StoreUnavailable | None = None) -> None:
    if not request.waiter.ended.is_set():
        request.waiter.end(blob, error)


async def _feed(step: FakeStream, pieces: Pieces) -> None:
    line, offset = msgspec.json.encode(StreamHead(200, step.headers)) + b"\n", 0
    for number, chunk in enumerate(step.chunks):
        if number:
            await asyncio.sleep(step.pause_s)
        pieces.add(1, offset, chunk if offset else line + chunk)
        offset += len(chunk)
