"""A streamed answer as its caller reads it: bytes as the provider sends them, and the reply at the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import NamedTuple, Self

from sluicegate.errors import RequestDead, SluicegateError, StreamBroken, UnknownRequest
from sluicegate.inbox import Waiter
from sluicegate.pieces import Pieces
from sluicegate.wire import Reply, StreamHead, open_reply

NOT_BEGUN = "the stream has not begun: use `async with`, await `start()`, or take its first chunk"


class OpenStream(NamedTuple):
    """A request that was accepted, and is answered in pieces. `close` ends it, and cancels it unless it has ended."""

    id: str
    waiter: Waiter
    pieces: Pieces
    close: Callable[[], Awaitable[None]]


class ReplyStream:
    """`async for chunk in producer.stream(…)`: submits the request at the first step, and cancels it when the loop is
    left early. `async with` does both at its ends, for who wants `status` and `headers` before the first byte.

    After the last chunk `reply` is the whole answer. Raises what `request` raises, at any moment; where the provider or
    the dispatcher is lost after the first byte, StreamBroken. Who calls `start` or `read` by hand calls `aclose`, too.
    """

    def __init__(self, submit: Callable[[], Awaitable[OpenStream]]) -> None:
        self._submit = submit
        self._open: OpenStream | None = None
        self._closed = False
        self._last = b""
        self.reply: Reply | None = None

    async def start(self) -> Self:
        """Submits the request, and returns when the answer begins: with its first byte."""
        if self._open is None:
            self._open = await self._submit()
            try:
                await self._wait_for_head(self._open)
            except BaseException:
                await self.aclose()
                raise
        return self

    async def read(self) -> bytes:
        """The next bytes; none at the end."""
        await self.start()
        stream = self._started
        while not self._closed:
            if chunk := stream.pieces.take() or self._take_last():
                return chunk
            if stream.pieces.is_broken:
                raise StreamBroken(f"the answer to request {stream.id} broke off: its dispatcher was lost")
            if self.reply is not None:
                break
            if stream.waiter.ended.is_set():
                self._finish(stream)
            else:
                await _wait_for_change(stream.pieces)
        return b""

    @property
    def id(self) -> str:
        """The request's, once it has started."""
        return self._started.id

    @property
    def status(self) -> int:
        return self._head.status

    @property
    def headers(self) -> dict[str, str]:
        return self._head.headers

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self.read():
                yield chunk
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Cancels the request unless it has ended; harmless when repeated."""
        if self._open is not None and not self._closed:
            self._closed = True
            await asyncio.shield(self._open.close())

    async def _wait_for_head(self, stream: OpenStream) -> None:
        while stream.pieces.head is None:
            if stream.waiter.ended.is_set():
                self._finish(stream)
                return
            await _wait_for_change(stream.pieces)

    def _finish(self, stream: OpenStream) -> None:
        """The outcome has come: what of it was not taken yet is the last of the answer."""
        begun = stream.pieces.is_begun
        try:
            self.reply = open_reply(stream.id, stream.waiter.result())
            self._last = stream.pieces.take_rest(self.reply)
        except (RequestDead, UnknownRequest, ValueError) as error:
            if begun:
                raise StreamBroken(f"the answer to request {stream.id} broke off: {error}") from error
            raise

    def _take_last(self) -> bytes:
        last, self._last = self._last, b""
        return last

    @property
    def _started(self) -> OpenStream:
        if self._open is None:
            raise SluicegateError(NOT_BEGUN)
        return self._open

    @property
    def _head(self) -> StreamHead:
        if self.reply is not None:
            return StreamHead(self.reply.status, self.reply.headers)
        head = self._started.pieces.head
        if head is None:
            raise SluicegateError(NOT_BEGUN)
        return head


async def _wait_for_change(pieces: Pieces) -> None:
    await pieces.changed.wait()
    pieces.changed.clear()
