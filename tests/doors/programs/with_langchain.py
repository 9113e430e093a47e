"""LangChain's model of OpenAI: invoke, stream and ainvoke; prints what came."""

import asyncio
import json
import sys

import httpx2
from langchain_openai import ChatOpenAI

from sluicegate import AsyncProducer, Producer
from sluicegate.transport import AsyncQueueTransport, QueueTransport


async def ask(url: str) -> list[str]:
    async with AsyncProducer(url, pool="chat", agent="chain") as producer:
        with Producer(url, pool="chat", agent="chain") as blocking:
            model = ChatOpenAI(
                model="small",
                api_key="none",
                base_url="https://openai.example/v1",
                http_client=httpx2.Client(transport=QueueTransport(blocking)),
                http_async_client=httpx2.AsyncClient(transport=AsyncQueueTransport(producer)),
                max_retries=0,
            )
            awaited = await model.ainvoke("Name a river.")
            invoked = await asyncio.to_thread(model.invoke, "Name a river.")
            streamed = await asyncio.to_thread(lambda: "".join(part.content for part in model.stream("Name a river.")))
            return [awaited.content, invoked.content, streamed]


print(json.dumps(asyncio.run(ask(sys.argv[1]))))
