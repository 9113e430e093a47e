"""The floors: what a pipeline without any feature costs on redis-py. `stream|list producer|worker URL PART…`.

Batches clock themselves: what comes while a round trip is under way goes with the next. Replies come through one stream
or list of the producer. No retries, leases, limits, fairness, expiry or duplicates are thought of.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import uvloop
from redis.asyncio import Redis

import work
from driving import drive

AT_ONCE = 500
BLOCK_MS = 2_000
REQUESTS, REPLIES, GROUP = "requests", "replies", "workers"

_decode = msgspec.json.decode
_encode = msgspec.json.Encoder().encode
Send = Callable[[Any, list[Any]], None]


class Batches:
    """Sends what is put in, as many as have gathered, in one pipeline."""

    def __init__(self, redis: Any, fill: Send) -> None:
        self._redis, self._fill = redis, fill
        self._queued: list[tuple[Any, asyncio.Future[None] | None]] = []
        self._task: asyncio.Task[None] | None = None

    def put(self, item: Any, sent: asyncio.Future[None] | None = None) -> None:
        self._queued.append((item, sent))
        if self._task is None:
            self._task = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        while self._queued:
            batch, self._queued = self._queued[:AT_ONCE], self._queued[AT_ONCE:]
            pipeline = self._redis.pipeline(transaction=False)
            self._fill(pipeline, [item for item, _ in batch])
            await pipeline.execute()
            for _, sent in batch:
                if sent is not None and not sent.done():
                    sent.set_result(None)
        self._task = None


def add_to_stream(pipeline: Any, items: list[Any]) -> None:
    for number, body in items:
        pipeline.xadd(REQUESTS, {"id": number, "body": body})


def push_to_list(pipeline: Any, items: list[Any]) -> None:
    pipeline.rpush(REQUESTS, *[b"%d %s" % item for item in items])


async def read_stream(redis: Any, take: Callable[[int, bytes], None]) -> None:
    last = "0-0"
    while True:
        found = await redis.xread({REPLIES: last}, count=AT_ONCE, block=BLOCK_MS)
        for _, entries in found or ():
            for entry, fields in entries:
                last = entry
                take(int(fields[b"id"]), fields[b"body"])
            await redis.xtrim(REPLIES, minid=last)


async def read_list(redis: Any, take: Callable[[int, bytes], None]) -> None:
    while True:
        found = await redis.blmpop(BLOCK_MS / 1000, 1, REPLIES, direction="LEFT", count=AT_ONCE)
        for item in found[1] if found else ():
            number, _, body = item.partition(b" ")
            take(int(number), body)


async def produce(kind: str, url: str, parts: list[str]) -> None:
    redis, reading = Redis.from_url(url, socket_timeout=None), Redis.from_url(url, socket_timeout=None)
    waiting: dict[int, asyncio.Future[bytes]] = {}
    batches = Batches(redis, add_to_stream if kind == "stream" else push_to_list)
    loop = asyncio.get_running_loop()

    def take(number: int, body: bytes) -> None:
        waiting.pop(number).set_result(body)

    async def round_trip(number: int, request: dict[str, Any]) -> dict[str, Any]:
        future = waiting[number] = loop.create_future()
        batches.put((number, _encode(request)))
        return _decode(await future)  # type: ignore[no-any-return]

    async def enqueue(number: int, request: dict[str, Any]) -> None:
        sent = loop.create_future()
        batches.put((number, _encode(request)), sent)
        await sent

    reader = asyncio.ensure_future((read_stream if kind == "stream" else read_list)(reading, take))
    await drive(parts, round_trip, enqueue)
    reader.cancel()


async def work_on_stream(redis: Any, reading: Any) -> None:
    await redis.xgroup_create(REQUESTS, GROUP, id="0", mkstream=True)
    done: list[bytes] = []

    def fill(pipeline: Any, items: list[Any]) -> None:
        for entry, number, reply in items:
            pipeline.xadd(REPLIES, {"id": number, "body": reply})
            done.append(entry)
        pipeline.xack(REQUESTS, GROUP, *done)
        pipeline.xdel(REQUESTS, *done)
        done.clear()

    batches = Batches(redis, fill)
    say_ready()
    while True:
        found = await reading.xreadgroup(GROUP, "worker", {REQUESTS: ">"}, count=AT_ONCE, block=BLOCK_MS)
        for _, entries in found or ():
            for entry, fields in entries:
                batches.put((entry, fields[b"id"], _encode(work.answer(_decode(fields[b"body"])))))


async def work_on_list(redis: Any, reading: Any) -> None:
    def fill(pipeline: Any, items: list[Any]) -> None:
        pipeline.rpush(REPLIES, *items)

    batches = Batches(redis, fill)
    say_ready()
    while True:
        found = await reading.blmpop(BLOCK_MS / 1000, 1, REQUESTS, direction="LEFT", count=AT_ONCE)
        for item in found[1] if found else ():
            number, _, body = item.partition(b" ")
            batches.put(b"%s %s" % (number, _encode(work.answer(_decode(body)))))


async def serve(kind: str, url: str) -> None:
    redis, reading = Redis.from_url(url, socket_timeout=None), Redis.from_url(url, socket_timeout=None)
    await (work_on_stream if kind == "stream" else work_on_list)(redis, reading)


def say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _, chosen, role, address, *rest = sys.argv
    uvloop.run(produce(chosen, address, rest) if role == "producer" else serve(chosen, address))
