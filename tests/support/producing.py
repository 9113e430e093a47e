"""A producer as a process: `python producing.py URL COUNT [KEY]` submits, says the ids on one line, then waits.

With a key all submits are the same request. When everything is answered it prints a line per reply: its id, its body.
"""

import asyncio
import json
import sys

from sluicegate import AsyncProducer

PATH = "/chat/completions"


async def main(redis_url: str, count: str, key: str | None = None) -> None:
    async with AsyncProducer(redis_url, pool="chat", agent="ann") as producer:
        bodies = [{"model": "small", "messages": [], "number": 0 if key else number} for number in range(int(count))]
        tickets = await asyncio.gather(*(producer.submit(PATH, body, key=key) for body in bodies))
        print(json.dumps([ticket.id for ticket in tickets]), flush=True)  # noqa: T201  # whoever started it reads this
        for reply in await asyncio.gather(*(ticket.reply() for ticket in tickets)):
            print(reply.id, reply.body.decode(), flush=True)  # noqa: T201  # and this


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
