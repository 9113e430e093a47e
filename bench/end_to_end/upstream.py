"""A provider that costs next to nothing: answers every POST at once, with a kilobyte of JSON. Prints its port."""

import asyncio
import sys

import msgspec
import uvloop

import work

HOST = "127.0.0.1"
BEGINNING, REST = msgspec.json.encode(work.answer({"id": 0})).split(b"0", 1)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s%s%s"


class Provider(asyncio.Protocol):
    """One connection. Requests come one after the other, each with a content-length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            _, _, rest = head.partition(b"content-length:")
            whole = end + 4 + int(rest.partition(b"\r\n")[0] or b"0")
            if len(self._received) < whole:
                return
            number = self._received[end:].partition(b'"id":')[2].partition(b",")[0]
            answer = ANSWER % (len(BEGINNING) + len(number) + len(REST), BEGINNING, number, REST)
            self._transport.write(answer)  # type: ignore[attr-defined]  # it is a transport of both directions
            self._received = self._received[whole:]


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, HOST, 0, backlog=1_000)
    sys.stdout.write(f"port {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
