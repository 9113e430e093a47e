"""A proxy before Redis that breaks connections: replies that are lost after the server executed, and a black hole."""

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections import Counter
from random import Random
from typing import NamedTuple, Self
from urllib.parse import urlsplit

_CHUNK_BYTES = 65_536
_SCRIPT = re.compile(rb"EVALSHA\r\n\$40\r\n([0-9a-f]{40})\r\n")


class Link(NamedTuple):
    """A client's connection and the one to the server that goes with it."""

    client: StreamWriter
    server: StreamWriter

    def cut(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """`async with Proxy(redis_url) as proxy:` … `proxy.url` instead of the server's.

    `lose_share` of the replies to scripts are dropped together with their connection, but not more than `in_a_row_most`
    of one script; `lost` counts them by the script's SHA. In a black hole nothing comes through in either direction,
    and nobody is told.
    """

    def __init__(self, redis_url: str) -> None:
        self._target = urlsplit(redis_url)
        self._links: set[Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._swallows = False
        self._in_a_row: Counter[str] = Counter()
        self._random = Random(7)
        self.lose_share = 0.0
        self.in_a_row_most = 2  # a producer tries four times before it says that it does not know
        self.lost: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return self._target._replace(netloc=f"127.0.0.1:{self._port}").geturl()

    @property
    def connected(self) -> int:
        """How many connections there are."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    def swallow(self) -> None:
        """The black hole begins."""
        self._swallows = True

    def heal(self) -> None:
        """It ends. What it swallowed is gone, so the connections of that time are of no use any more."""
        self._swallows = False
        for link in self._links:
            link.cut()

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(self._target.hostname, self._target.port)
        link = Link(writer, to_server)
        self._links.add(link)
        asked: list[str] = []  # the script whose reply is awaited; redis-py sends the next command after the reply
        try:
            forth = asyncio.ensure_future(self._carry_requests(reader, to_server, asked))
            back = asyncio.ensure_future(self._carry_replies(from_server, writer, asked))
            try:
                await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
            finally:
                forth.cancel()
                back.cancel()
                await asyncio.wait((forth, back))
        finally:
            link.cut()
            self._links.discard(link)

    async def _carry_requests(self, reader: StreamReader, writer: StreamWriter, asked: list[str]) -> None:
        while chunk := await _read(reader):
            if self._swallows:
                continue
            if found := _SCRIPT.search(chunk[:200]):
                asked[:] = [found.group(1).decode()]
            writer.write(chunk)

    async def _carry_replies(self, reader: StreamReader, writer: StreamWriter, asked: list[str]) -> None:
        while chunk := await _read(reader):
            if self._swallows:
                continue
            if asked and self._is_lost(asked.pop()):
                return
            writer.write(chunk)

    def _is_lost(self, script: str) -> bool:
        if self._in_a_row[script] == self.in_a_row_most or self._random.random() >= self.lose_share:
            self._in_a_row[script] = 0
            return False
        self._in_a_row[script] += 1
        self.lost[script] += 1
        return True


async def _read(reader: StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK_BYTES)
    except ConnectionError:
        return b""
