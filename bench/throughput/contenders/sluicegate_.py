"""Sluicegate: `producer URL PART…`; its worker is `sluicegate dispatch`, which finds the handler here. 200 agents take
turns, and so do as many pools as BENCH_POOLS says."""

import os
import sys
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import uvloop

import work
from driving import drive
from sluicegate import AsyncProducer

PATH = "/v1/chat/completions"
HEADERS = {"content-type": "application/json"}

_decode = msgspec.json.decode
_encode = msgspec.json.Encoder().encode


async def handle(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:  # noqa: ARG001
    return 200, HEADERS, _encode(work.answer(_decode(body)))


async def produce(url: str, parts: list[str]) -> None:
    agents = [f"agent-{number}" for number in range(work.AGENTS)]
    async with AsyncExitStack() as stack:
        producers = [
            await stack.enter_async_context(AsyncProducer(url, pool=f"bench-{number}" if number else "bench"))
            for number in range(int(os.environ.get("BENCH_POOLS", "1")))
        ]

        async def round_trip(number: int, request: dict[str, Any]) -> dict[str, Any]:
            producer = producers[number % len(producers)]
            reply = await producer.request(PATH, request, agent=agents[number % work.AGENTS])
            return reply.json()  # type: ignore[no-any-return]

        async def enqueue(number: int, request: dict[str, Any]) -> None:
            await producers[number % len(producers)].submit(PATH, request, agent=agents[number % work.AGENTS])

        await drive(parts, round_trip, enqueue)


if __name__ == "__main__":
    uvloop.run(produce(sys.argv[2], sys.argv[3:]))
