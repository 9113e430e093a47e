"""An upstream as a coroutine, for tests that need their own words back; in settings it is `support.echo:echo`."""

from collections.abc import AsyncIterator

import msgspec


async def echo(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Answers the body itself. `"fail": n` in it asks for a 500 to the first n calls."""
    wanted = msgspec.json.decode(body).get("fail", 0)
    if int(headers["x-sluicegate-attempt"]) <= wanted:
        return 500, {}, b"not yet"
    return 200, {"content-type": "application/json"}, body


async def echo_in_pieces(
    path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, dict[str, str], AsyncIterator[bytes]]:
    """The same byte by byte, as a stream."""

    async def stream() -> AsyncIterator[bytes]:
        for byte in body:
            yield bytes([byte])

    return 200, {"content-type": "text/event-stream"}, stream()
