"""Agents that call the provider themselves and back off with full jitter until their deadline, as tenacity does it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import APIConnectionError, AsyncOpenAI, InternalServerError, RateLimitError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from bench.herd.job import Ask, Job, Wish

# The bounds are those of OpenAI's cookbook; it stops after six attempts, which would be sooner.
WAIT = wait_random_exponential(min=1, max=60)
PASSING = (APIConnectionError, InternalServerError, RateLimitError)


@asynccontextmanager
async def open_column(job: Job) -> AsyncIterator[Ask]:
    async with AsyncOpenAI(base_url=job.base_url, api_key=job.api_key, max_retries=0) as client:
        # The SDK's method is wrapped in a plain function, whose coroutine tenacity would return unawaited.
        async def call(body: dict[str, Any]) -> None:
            await client.chat.completions.create(**body)

        async def ask(wish: Wish) -> None:
            retrying = AsyncRetrying(
                wait=WAIT, stop=stop_after_delay(job.deadline_s), retry=retry_if_exception_type(PASSING), reraise=True
            )
            await retrying(call, json.loads(wish.request.body))

        yield ask
