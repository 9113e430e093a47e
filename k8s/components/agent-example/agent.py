"""An agent: asks a question every second, through the queue, until it is told to stop.

The server, the pool and the agent's name come from SLUICEGATE_REDIS_URL, SLUICEGATE_POOL and SLUICEGATE_AGENT.
"""

import asyncio
import signal

from sluicegate import AsyncProducer, BacklogFull, SluicegateError, WouldMissDeadline

QUESTION = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Name a river."}], "max_tokens": 20}


async def main() -> None:
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    async with AsyncProducer() as producer:
        while not over.is_set():
            pause_s = 1.0
            try:
                reply = await producer.request("/chat/completions", QUESTION, deadline=60)
                print(reply.status, f"after {reply.queued_s:.1f} s in the queue", flush=True)
            except BacklogFull as full:
                pause_s = full.retry_after_s
            except WouldMissDeadline as late:
                pause_s = late.eta_s
            except SluicegateError as error:
                print(error, flush=True)
            await wait(over, pause_s)


async def wait(over: asyncio.Event, pause_s: float) -> None:
    try:
        async with asyncio.timeout(pause_s):
            await over.wait()
    except TimeoutError:
        pass


asyncio.run(main())
