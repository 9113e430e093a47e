"""A provider of the test's own: a plain socket server that keeps what arrived and behaves as the test says."""

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Self

_CHUNK = b"x" * 65_536


class Arrival(NamedTuple):
    """A request as it came over the socket; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # counted from 1
    at: float  # by the monotonic clock


class Connection(NamedTuple):
    """The way back to the one who asked."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Behaviour = Callable[[Arrival, Connection], Awaitable[None]]


class Upstream:
    """`async with Upstream() as upstream:` … `upstream.base_url`, `upstream.arrivals`.

    `behaviour` is what happens to every request, unless `next_up` holds one that comes before it.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.connections = 0
        self.behaviour: Behaviour = answer()
        self.next_up: deque[Behaviour] = deque()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    def of(self, request_id: str) -> list[Arrival]:
        return [arrival for arrival in self.arrivals if arrival.headers.get("idempotency-key") == request_id]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(self.connections, Connection(reader, writer)))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, number: int, connection: Connection) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while not connection.writer.is_closing():
                    arrival = await _read_request(number, connection.reader)
                    self.arrivals.append(arrival)
                    behaviour = self.next_up.popleft() if self.next_up else self.behaviour
                    await behaviour(arrival, connection)
        finally:  # also where the test is over and nobody waits for the answer any more
            connection.writer.close()


async def _read_request(number: int, reader: asyncio.StreamReader) -> Arrival:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Arrival(method, path, headers, body, number, time.monotonic())


def answer(status: int = 200, body: bytes = b'{"ok":true}', headers: Mapping[str, str] | None = None) -> Behaviour:
    async def behave(_: Arrival, connection: Connection) -> None:
        await _write_answer(connection, status, body, headers or {})

    return behave


async def echo(arrival: Arrival, connection: Connection) -> None:
    """Answers with the body of the request."""
    await _write_answer(connection, 200, arrival.body, {})


def once(gate: asyncio.Event, then: Behaviour) -> Behaviour:
    """Keeps everybody waiting until the gate is opened."""

    async def behave(arrival: Arrival, connection: Connection) -> None:
        await gate.wait()
        await then(arrival, connection)

    return behave


async def hang(_: Arrival, connection: Connection) -> None:
    """Never answers; ends when the other side does."""
    await connection.reader.read()
    connection.writer.close()


async def cut(_: Arrival, connection: Connection) -> None:
    """Closes the connection instead of answering."""
    connection.writer.close()


async def reset_in_body(_: Arrival, connection: Connection) -> None:
    connection.writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"half":')
    await connection.writer.drain()
    linger = struct.pack("ii", 1, 0)  # closing then sends a reset
    connection.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.writer.transport.abort()


async def talk_garbage(_: Arrival, connection: Connection) -> None:
    connection.writer.write(b"\x00\xff\x16 this is no HTTP\r\n\r\n")
    await connection.writer.drain()
    connection.writer.close()


class Endless:
    """An answer that never ends; `sent_bytes` is how much of it went out before the other side had enough."""

    def __init__(self) -> None:
        self.sent_bytes = 0

    async def __call__(self, _: Arrival, connection: Connection) -> None:
        connection.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
        while True:
            connection.writer.write(_CHUNK)
            await connection.writer.drain()
            self.sent_bytes += len(_CHUNK)


async def _write_answer(connection: Connection, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    named = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    connection.writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)
    await connection.writer.drain()
