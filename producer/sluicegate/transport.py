"""The SDKs' door: transports for httpx2 and httpx that put requests on the queue instead of the network.

    AsyncOpenAI(http_client=httpx2.AsyncClient(transport=AsyncQueueTransport(producer)), max_retries=0)

Status, headers, body and events come back as the provider sent them; the SDK's time-out becomes the deadline. Its own
retries are not needed: what may succeed is tried again behind the queue. Credentials and cookies of the caller go
nowhere. `X-Sluicegate-Agent` and `X-Sluicegate-Priority` (as `extra_headers`) are per call, and so is an
`Idempotency-Key`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sluicegate.blocking import Producer
from sluicegate.errors import DeadlineExceeded, InvalidRequest, SluicegateError
from sluicegate.producer import AsyncProducer
from sluicegate.translation import Question, head_of, read_question, refuse

if TYPE_CHECKING:
    from httpx2 import AsyncBaseTransport, BaseTransport, Request, Response

    from sluicegate.blocking_reply import BlockingStream
    from sluicegate.stream import ReplyStream
else:  # what a transport must be able to do is all that either library asks of it
    AsyncBaseTransport = BaseTransport = object


class AsyncQueueTransport(AsyncBaseTransport):
    """For `httpx2.AsyncClient` and `httpx.AsyncClient`. The producer is open, and stays so: closing the client does not
    close it."""

    def __init__(self, producer: AsyncProducer) -> None:
        if not isinstance(producer, AsyncProducer):
            raise InvalidRequest("AsyncQueueTransport takes an AsyncProducer; QueueTransport is for a Producer")
        self._producer = producer

    async def __aenter__(self) -> AsyncQueueTransport:  # noqa: PYI034  # as its base has it
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def handle_async_request(self, request: Request) -> Response:
        try:
            question = _read(request, await request.aread())
            if question.is_streamed:
                stream = await self._producer.stream(question.path, question.body, **question.options).start()
                return _begin(request, stream, _async_body)
            reply = await self._producer.request(question.path, question.body, **question.options)
        except SluicegateError as error:
            return _refuse(request, error)
        return _answer(request, reply.status, head_of(reply.id, reply.headers, reply), reply.body)

    async def aclose(self) -> None:
        return


class QueueTransport(BaseTransport):
    """The same for `httpx2.Client` and `httpx.Client`."""

    def __init__(self, producer: Producer) -> None:
        if not isinstance(producer, Producer):
            raise InvalidRequest("QueueTransport takes a Producer; AsyncQueueTransport is for an AsyncProducer")
        self._producer = producer

    def __enter__(self) -> QueueTransport:  # noqa: PYI034  # as its base has it
        return self

    def __exit__(self, *_: object) -> None:
        return

    def handle_request(self, request: Request) -> Response:
        try:
            question = _read(request, request.read())
            if question.is_streamed:
                stream = self._producer.stream(question.path, question.body, **question.options).start()
                return _begin(request, stream, _body)
            reply = self._producer.request(question.path, question.body, **question.options)
        except SluicegateError as error:
            return _refuse(request, error)
        return _answer(request, reply.status, head_of(reply.id, reply.headers, reply), reply.body)

    def close(self) -> None:
        return


class _AsyncBody:
    """What is streamed, as the library reads it."""

    def __init__(self, request: Request, stream: ReplyStream) -> None:
        self._request, self._stream = request, stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except SluicegateError as error:
            raise _broken(self._request, error) from error

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Body:
    """The same for code without an event loop."""

    def __init__(self, request: Request, stream: BlockingStream) -> None:
        self._request, self._stream = request, stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except SluicegateError as error:
            raise _broken(self._request, error) from error

    def close(self) -> None:
        self._stream.close()


def _read(request: Request, body: bytes) -> Question:
    timeout_s = request.extensions.get("timeout", {}).get("read")
    headers = {name.lower(): value for name, value in request.headers.items()}
    target = request.url.raw_path.decode("ascii")
    return read_question(request.method, request.url.scheme, target, headers, body, timeout_s)


def _begin(request: Request, stream: Any, body: Any) -> Response:
    made = body(_library_of(request))(request, stream)
    return _response(request, stream.status, head_of(stream.id, stream.headers, stream.reply), stream=made)


def _answer(request: Request, status: int, headers: dict[str, str], content: bytes) -> Response:
    return _response(request, status, headers, content=content)


def _refuse(request: Request, error: SluicegateError) -> Response:
    if isinstance(error, DeadlineExceeded):
        raise _broken(request, error) from error
    return _answer(request, *refuse(error))


def _response(request: Request, status: int, headers: dict[str, str], **content: Any) -> Response:
    made: Response = _library_of(request).Response(status, headers=headers, request=request, **content)
    return made


def _broken(request: Request, error: SluicegateError) -> Exception:
    library = _library_of(request)
    kind = library.ReadTimeout if isinstance(error, DeadlineExceeded) else library.ReadError
    made: Exception = kind(str(error), request=request)
    return made


def _library_of(request: Request) -> Any:
    """httpx2 or httpx, whose request it is: each takes only what is its own."""
    return _import_first(type(request).__mro__)


@cache
def _import_first(bases: tuple[type, ...]) -> Any:
    for base in bases:
        name = base.__module__.partition(".")[0]
        if name in ("httpx2", "httpx"):
            return import_module(name)
    raise TypeError(f"{bases[0].__name__} is no request of httpx2 or httpx")


@cache
def _async_body(library: Any) -> type:
    return type("AsyncBody", (_AsyncBody, library.AsyncByteStream), {})


@cache
def _body(library: Any) -> type:
    return type("Body", (_Body, library.SyncByteStream), {})
