"""OpenAI's SDK as it was on httpx: chat and a stream, asynchronous and not; prints what came."""

import asyncio
import json
import sys

import httpx
from openai import AsyncOpenAI, OpenAI

from sluicegate import AsyncProducer, Producer
from sluicegate.transport import AsyncQueueTransport, QueueTransport

ASK = [{"role": "user", "content": "Name a river."}]
ROOT = "https://openai.example/v1"


async def ask(url: str) -> list[str]:
    async with AsyncProducer(url, pool="chat", agent="old") as producer:
        http = httpx.AsyncClient(transport=AsyncQueueTransport(producer))
        async with AsyncOpenAI(api_key="none", base_url=ROOT, http_client=http, max_retries=0) as client:  # type: ignore[arg-type]  # version 1 is on httpx
            whole = await client.chat.completions.create(model="small", messages=ASK)  # type: ignore[call-overload]  # plain dicts
            stream = await client.chat.completions.create(model="small", messages=ASK, stream=True)  # type: ignore[call-overload]  # plain dicts
            return [whole.choices[0].message.content, *[chunk.choices[0].delta.content async for chunk in stream]]


def ask_blocking(url: str) -> list[str]:
    with Producer(url, pool="chat", agent="old") as producer:
        http = httpx.Client(transport=QueueTransport(producer))
        with OpenAI(api_key="none", base_url=ROOT, http_client=http, max_retries=0) as client:  # type: ignore[arg-type]  # version 1 is on httpx
            whole = client.chat.completions.create(model="small", messages=ASK)  # type: ignore[call-overload]  # plain dicts
            stream = client.chat.completions.create(model="small", messages=ASK, stream=True)  # type: ignore[call-overload]  # plain dicts
            return [whole.choices[0].message.content, *[chunk.choices[0].delta.content for chunk in stream]]


print(json.dumps([asyncio.run(ask(sys.argv[1])), ask_blocking(sys.argv[1])]))
