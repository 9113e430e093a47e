"""Agents that read streams: `reader.py queue|direct URL COUNT`, all at once; prints what was late, in milliseconds."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import uvloop

from bench.streams.upstream import TOKENS
from sluicegate import AsyncProducer

PATH = "/chat/completions"
BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x" * 1_000}]}
AGENTS = 200

Open = Callable[[int], AsyncIterator[bytes]]


async def read(open_stream: Open, number: int) -> list[float]:
    """How late each token of one stream was. The first has the longest way."""
    late: list[float] = []
    rest = b""
    async for chunk in open_stream(number):
        now = time.monotonic()
        *lines, rest = (rest + chunk).split(b"\n")
        late += [now - float(json.loads(line[6:])["t"]) for line in lines if line]
    if len(late) != TOKENS:
        raise RuntimeError(f"stream {number} had {len(late)} tokens of {TOKENS}")
    return late


@asynccontextmanager
async def open_queue(url: str) -> AsyncIterator[Open]:
    async with AsyncProducer(url, pool="bench") as producer:
        yield lambda number: aiter(producer.stream(PATH, BODY, agent=f"a{number % AGENTS}"))


@asynccontextmanager
async def open_direct(url: str) -> AsyncIterator[Open]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def stream(_: int) -> AsyncIterator[bytes]:
            async with session.post(f"{url}{PATH}", json=BODY) as response:
                async for chunk in response.content.iter_any():
                    yield chunk

        yield stream


async def main(way: str, url: str, count: str) -> None:
    async with (open_queue if way == "queue" else open_direct)(url) as opened:
        await read(opened, 0)  # whatever is loaded at the first use
        late = await asyncio.gather(*(read(opened, number) for number in range(int(count))))
    first, every = sorted(one[0] for one in late), sorted(token for one in late for token in one)
    found: dict[str, Any] = {"first": first, "token": every}
    sys.stdout.write(json.dumps({name: _describe(values) for name, values in found.items()}) + "\n")


def _describe(late: list[float]) -> dict[str, float]:
    ranks = {"p50_ms": 0.5, "p99_ms": 0.99, "most_ms": 1.0}
    return {name: 1000 * late[min(len(late) - 1, int(rank * len(late)))] for name, rank in ranks.items()}


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
