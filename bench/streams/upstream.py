"""A provider that streams: a token every 100 ms, each with the moment when it was sent. Prints its port."""

import asyncio
import random
import sys
import time

import uvloop
from aiohttp import web

HOST = "127.0.0.1"
TOKENS, PAUSE_S = 50, 0.1
EVENT = '{"t":%.6f,"choices":[{"index":0,"delta":{"content":"the gate opens a little"}}]}'


async def stream(request: web.Request) -> web.StreamResponse:
    """By the clock that all processes of a machine share."""
    await request.read()
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await asyncio.sleep(random.uniform(0, PAUSE_S))  # else all would speak in the same moment
    await answer.prepare(request)
    begun = time.monotonic()
    for number in range(TOKENS):
        await asyncio.sleep(begun + number * PAUSE_S - time.monotonic())
        await answer.write(b"data: " + (EVENT % time.monotonic()).encode() + b"\n\n")
    await answer.write_eof()
    return answer


async def serve() -> None:
    app = web.Application()
    app.router.add_post("/{path:.*}", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, backlog=1_000)
    await site.start()
    sys.stdout.write(f"port {runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
