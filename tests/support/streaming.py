"""An upstream's answer that the test sends piece by piece, and what of it there is to see."""

import asyncio
from collections.abc import Mapping

from support.upstream import Arrival, Connection

EVENTS = {"content-type": "text/event-stream"}


class Streamed:
    """A behaviour of `Upstream` for one call: `send` pieces, then `end`, or `cut` the connection. `left` is set when
    the other side closes it."""

    def __init__(self, status: int = 200, headers: Mapping[str, str] = EVENTS) -> None:
        self._status, self._headers = status, headers
        self._told: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.begun, self.left = asyncio.Event(), asyncio.Event()

    def send(self, piece: bytes) -> None:
        self._told.put_nowait(piece)

    def end(self) -> None:
        """As HTTP ends an answer in chunks."""
        self._told.put_nowait(b"")

    def cut(self) -> None:
        self._told.put_nowait(None)

    async def __call__(self, _: Arrival, connection: Connection) -> None:
        named = {**self._headers, "transfer-encoding": "chunked"}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        connection.writer.write(f"HTTP/1.1 {self._status} X\r\n{head}\r\n".encode())
        self.begun.set()
        watching = asyncio.ensure_future(self._watch(connection))
        try:
            await self._write_pieces(connection)
        finally:
            watching.cancel()  # the next request of this connection is not for it to read
            await asyncio.wait([watching])

    async def _write_pieces(self, connection: Connection) -> None:
        while (piece := await self._told.get()) is not None:
            connection.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await connection.writer.drain()
            if not piece:
                return
        connection.writer.close()

    async def _watch(self, connection: Connection) -> None:
        await connection.reader.read(1)
        self.left.set()
        self.cut()


def chat_event(text: str) -> bytes:
    """A token of OpenAI's chat."""
    return (
        b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text.encode()
    )


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}\n\n'
DONE = b"data: [DONE]\n\n"
