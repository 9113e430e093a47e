"""Agents that ask through Sluicegate's producer; its dispatchers call the provider."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.herd.job import Ask, Job, NotAnswered, Wish
from sluicegate import AsyncProducer, BacklogFull

POOL = "chat"
PATH = "/chat/completions"


@asynccontextmanager
async def open_column(job: Job) -> AsyncIterator[Ask]:
    loop = asyncio.get_running_loop()
    async with AsyncProducer(job.redis_url, pool=POOL) as producer:

        async def ask(wish: Wish) -> None:
            body, agent = wish.request.body.encode(), wish.request.agent
            while True:
                try:
                    reply = await producer.request(PATH, body, agent=agent, deadline=wish.deadline_at - loop.time())
                    break
                except BacklogFull as full:
                    await asyncio.sleep(full.retry_after_s)
            if reply.status != 200:
                raise NotAnswered(f"status {reply.status}")

        yield ask
