"""An agent of pydantic-ai on its OpenAI model: run and run_stream; prints what came."""

import asyncio
import json
import sys

import httpx2
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from sluicegate import AsyncProducer
from sluicegate.transport import AsyncQueueTransport


async def ask(url: str) -> list[str]:
    async with AsyncProducer(url, pool="chat", agent="typed") as producer:
        http = httpx2.AsyncClient(transport=AsyncQueueTransport(producer))
        client = AsyncOpenAI(api_key="none", base_url="https://openai.example/v1", http_client=http, max_retries=0)
        agent = Agent(OpenAIChatModel("small", provider=OpenAIProvider(openai_client=client)))
        ran = await agent.run("Name a river.")
        async with agent.run_stream("Name a river.") as stream:
            return [ran.output, await stream.get_output()]


print(json.dumps(asyncio.run(ask(sys.argv[1]))))
