"""The usual answer of one's own making: pods that lease permits from a bucket in Redis, each with a FIFO queue."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientError, ClientSession, TCPConnector
from redis.asyncio import Redis

from bench.herd.job import Ask, Job, Wish

HEADROOM = 0.025  # as much as Sluicegate's: it is a setting, and no merit of either
LEASE_S = 1.0  # how much of its share of the limit a pod leases at once, and the size of the bucket
BACKOFF_S, BACKOFF_S_MAX = 0.5, 8.0
KEY = "permits"
# Takes up to ARGV[3] permits of what has refilled at ARGV[1] a second to at most ARGV[2]; else says when one is there.
LEASE = """
local now = redis.call('TIME')
local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
local rate, size, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = tonumber(held[1]) or size
level = math.min(size, level + (at - (tonumber(held[2]) or at)) * rate)
local granted = math.min(wanted, math.floor(level))
redis.call('HSET', KEYS[1], 'level', tostring(level - granted), 'at', tostring(at))
return {granted, granted > 0 and 0 or math.ceil((1 - level) / rate * 1000)}
"""


@dataclass
class Entry:
    """A wish in a queue."""

    wish: Wish
    answered: "asyncio.Future[None]"
    failures: int = 0


class Pod:
    """A queue, and the loop that leases permits for what is in it."""

    def __init__(self, job: Job, redis: Redis, session: ClientSession) -> None:
        self._url = f"{job.base_url}/chat/completions"
        self._session = session
        self._rate = job.limit_per_s * (1 - HEADROOM)
        self._lease = redis.register_script(LEASE)
        self._lease_size = max(1, round(self._rate * LEASE_S / job.processes))
        self._queue: deque[Entry] = deque()
        self._work = asyncio.Event()

    async def ask(self, wish: Wish) -> None:
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(Entry(wish, answered))
        self._work.set()
        await answered

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await self._work.wait()
                wanted = min(len(self._queue), self._lease_size)
                granted, wait_ms = await self._lease([KEY], [self._rate, self._rate * LEASE_S, wanted])
                for _ in range(granted):
                    if (entry := self._take()) is not None:
                        group.create_task(self._call(entry))
                await asyncio.sleep(wait_ms / 1_000)

    def _take(self) -> Entry | None:
        """The oldest entry whose agent has not given up."""
        taken = None
        while self._queue and taken is None:
            entry = self._queue.popleft()
            taken = None if entry.answered.done() else entry
        if not self._queue:
            self._work.clear()
        return taken

    async def _call(self, entry: Entry) -> None:
        """One permit, one call; what is to be called again waits for its time, and then in front for a permit."""
        wait_s = random.uniform(0, min(BACKOFF_S_MAX, BACKOFF_S * 2**entry.failures))
        try:
            async with self._session.post(
                self._url, data=entry.wish.request.body.encode(), headers={"Content-Type": "application/json"}
            ) as response:
                await response.read()
        except ClientError:
            entry.failures += 1
        else:
            if response.status == 200:
                if not entry.answered.done():
                    entry.answered.set_result(None)
                return
            if response.status == 429:
                wait_s = float(response.headers.get("Retry-After", wait_s))
            else:
                entry.failures += 1
        await asyncio.sleep(wait_s)
        self._queue.appendleft(entry)
        self._work.set()


@asynccontextmanager
async def open_column(job: Job) -> AsyncIterator[Ask]:
    async with Redis.from_url(str(job.redis_url)) as redis, ClientSession(connector=TCPConnector(limit=0)) as session:
        pod = Pod(job, redis, session)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(pod.run())
            yield pod.ask
            running.cancel()
