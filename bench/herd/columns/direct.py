"""Agents that call the provider themselves through OpenAI's SDK, with the two retries it comes with."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openai import AsyncOpenAI

from bench.herd.job import Ask, Job, Wish


@asynccontextmanager
async def open_column(job: Job) -> AsyncIterator[Ask]:
    async with AsyncOpenAI(base_url=job.base_url, api_key=job.api_key) as client:

        async def ask(wish: Wish) -> None:
            await client.chat.completions.create(**json.loads(wish.request.body))

        yield ask
