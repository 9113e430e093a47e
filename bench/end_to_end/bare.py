"""The dispatcher's own HTTP client, without the dispatcher: `producer URL PART…`."""

import sys
from typing import Any

import msgspec
import uvloop

from driving import drive
from sluicegate_worker.upstream.call import Call
from sluicegate_worker.upstream.http import HttpUpstream

PATH = "/chat/completions"
HEADERS = {"content-type": "application/json"}
CONNECTIONS = 200
TIMEOUT_S = 60.0
REPLY_BYTES_MAX = 1_000_000


async def call(url: str, parts: list[str]) -> None:
    upstream = HttpUpstream(url, "openai", None, CONNECTIONS, REPLY_BYTES_MAX)

    async def round_trip(number: int, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
        body = msgspec.json.encode(request)
        answer = await upstream.call(Call("POST", PATH, HEADERS, body, TIMEOUT_S))
        return msgspec.json.decode(answer.body)  # type: ignore[no-any-return]

    async def enqueue(number: int, request: dict[str, Any]) -> None:
        await round_trip(number, request)

    await drive(parts, round_trip, enqueue)
    await upstream.close()


if __name__ == "__main__":
    uvloop.run(call(sys.argv[2], sys.argv[3:]))
