"""SAQ: fifty jobs at once, orjson, results by its publish and subscribe instead of its polling `apply`.

It reads a job's state and then subscribes, so that a notice in between is lost: whoever waits looks again after a
second.
"""

import asyncio
import sys
from typing import Any

import orjson
import uvloop
from redis.asyncio import Redis
from saq import Job, Queue, Worker
from saq.queue.redis import RedisQueue

import work
from driving import drive

CONCURRENCY = 50
CONNECTIONS = 1_000
LOOK_AGAIN_S = 1.0
KEPT_S = 60  # a result; jobs end with it


def make_queue(url: str) -> RedisQueue:
    redis = Redis.from_url(url, max_connections=CONNECTIONS, socket_timeout=None)
    return RedisQueue(redis, dump=orjson.dumps, load=orjson.loads)


async def answer(context: Any, *, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    return work.answer(request)


async def produce(url: str, parts: list[str]) -> None:
    queue = make_queue(url)

    async def enqueue(number: int, request: dict[str, Any]) -> Job:  # noqa: ARG001
        job = await queue.enqueue("answer", request=request, ttl=KEPT_S, timeout=0)
        assert job is not None  # noqa: S101  # no other job has its key
        return job

    async def round_trip(number: int, request: dict[str, Any]) -> dict[str, Any]:
        job = await enqueue(number, request)
        while not job.completed:
            try:
                await job.refresh(until_complete=LOOK_AGAIN_S)
            except TimeoutError:
                continue
        return job.result  # type: ignore[no-any-return]

    await drive(parts, round_trip, enqueue)


async def serve(url: str) -> None:
    queue: Queue = make_queue(url)
    worker = Worker(queue, functions=[answer], concurrency=CONCURRENCY)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await worker.start()


if __name__ == "__main__":
    _, role, address, *rest = sys.argv
    if role == "producer":
        uvloop.run(produce(address, rest))
    else:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        uvloop.run(serve(address))
