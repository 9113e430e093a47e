"""An SDK's client whose requests go through the queue: its methods by name, asynchronous and in threads alike."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any

import httpx2
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from sluicegate import AsyncProducer, Producer
from sluicegate.transport import AsyncQueueTransport, QueueTransport
from support.served_pool import POOL

KINDS = ("async", "sync")
SDK_KEY = "sk-of-the-sdk-0123456789abcdef"
ROOT_OF = {"openai": "https://openai.example/v1", "anthropic": "https://anthropic.example"}
ASYNC = {"openai": AsyncOpenAI, "anthropic": AsyncAnthropic}
SYNC = {"openai": OpenAI, "anthropic": Anthropic}


class Door:
    """A blocking client waits in a thread: the test's provider and dispatcher run in the test's own loop."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._waits = isinstance(client, OpenAI | Anthropic)

    async def call(self, method: str, **arguments: Any) -> Any:
        """`call("chat.completions.create", …)`."""
        function = attrgetter(method)(self.client)
        return await asyncio.to_thread(function, **arguments) if self._waits else await function(**arguments)

    async def collect(self, stream: Any) -> list[Any]:
        return await asyncio.to_thread(list, stream) if self._waits else [event async for event in stream]

    async def take(self, stream: Any) -> Any:
        """The stream's next event."""
        return await asyncio.to_thread(next, stream) if self._waits else await anext(stream)

    async def follow(self, method: str, **arguments: Any) -> tuple[list[Any], Any]:
        """The events of a stream that is a context manager, and the message it adds up to."""
        manager = attrgetter(method)(self.client)(**arguments)
        if self._waits:
            return await asyncio.to_thread(_follow, manager)
        async with manager as stream:
            return [event async for event in stream], await stream.get_final_message()


def _follow(manager: Any) -> tuple[list[Any], Any]:
    with manager as stream:
        return list(stream), stream.get_final_message()


@asynccontextmanager
async def open_door(sdk: str, kind: str, redis_url: str, **options: Any) -> AsyncIterator[Door]:
    """`sdk` is openai or anthropic, `kind` one of KINDS; options are the client's."""
    chosen = {"api_key": SDK_KEY, "base_url": ROOT_OF[sdk], "max_retries": 0, **options}
    if kind == "async":
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
            http = httpx2.AsyncClient(transport=AsyncQueueTransport(producer))
            async with ASYNC[sdk](http_client=http, **chosen) as client:
                yield Door(client)
        return
    blocking = await asyncio.to_thread(Producer(redis_url, pool=POOL, agent="ann").__enter__)
    try:
        with SYNC[sdk](http_client=httpx2.Client(transport=QueueTransport(blocking)), **chosen) as blocked:
            yield Door(blocked)
    finally:
        await asyncio.to_thread(blocking.__exit__, None, None, None)
