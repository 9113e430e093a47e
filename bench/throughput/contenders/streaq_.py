"""streaQ: three hundred tasks at once, JSON by msgspec, a pool of 3,000 connections of coredis.

A result is waited for by the task's own `result`, which subscribes to it.
"""

import sys
from datetime import timedelta
from typing import Any

import msgspec
import uvloop
from streaq import Worker

import work
from driving import drive

CONCURRENCY = 300
CONNECTIONS = 3_000
KEPT = timedelta(seconds=60)

_, role, url, *parts = sys.argv
worker: Any = Worker(
    redis_url=url,
    redis_kwargs={"max_connections": CONNECTIONS},
    concurrency=CONCURRENCY,
    serializer=lambda value: msgspec.json.encode(value).decode(),
    deserializer=msgspec.json.decode,
    handle_signals=False,
)


@worker.task(ttl=KEPT)  # type: ignore[untyped-decorator]
async def answer(request: dict[str, Any]) -> dict[str, Any]:
    return work.answer(request)


async def produce() -> None:
    async with worker:

        async def enqueue(number: int, request: dict[str, Any]) -> Any:  # noqa: ARG001
            return await answer.enqueue(request)

        async def round_trip(number: int, request: dict[str, Any]) -> dict[str, Any]:
            task = await enqueue(number, request)
            return (await task.result()).result  # type: ignore[no-any-return]

        await drive(parts, round_trip, enqueue)


async def serve() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await worker.run_async()


if __name__ == "__main__":
    uvloop.run(produce() if role == "producer" else serve())
