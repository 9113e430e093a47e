"""A producer that reads a stream, as a process: `python streaming_producer.py URL ID`; says the length of each chunk.

At the end it says `whole` and the length of all.
"""

import asyncio
import sys

from sluicegate import AsyncProducer

PATH = "/chat/completions"
BODY = {"model": "small", "messages": [], "stream": True}


async def main(redis_url: str, request_id: str) -> None:
    length = 0
    async with AsyncProducer(redis_url, pool="chat", agent="ann") as producer:
        async for chunk in producer.stream(PATH, BODY, id=request_id):
            length += len(chunk)
            print(len(chunk), flush=True)  # noqa: T201  # whoever started it reads this
    print("whole", length, flush=True)  # noqa: T201  # and this


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
