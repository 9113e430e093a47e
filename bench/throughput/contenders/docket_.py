"""docket: five hundred tasks at once, batches of messages as large, a pool of 4,000 connections.

The result is waited for as its own documentation has it, by `get_result`, which subscribes to the execution's events.
"""

import logging
import sys
from datetime import timedelta
from typing import Any

import uvloop
from docket import Docket, Worker

import work
from driving import drive

CONCURRENCY = 500
CONNECTIONS = 4_000
CHECK = timedelta(milliseconds=5)
KEPT = timedelta(seconds=60)


async def answer(request: dict[str, Any]) -> dict[str, Any]:
    return work.answer(request)


def make_docket(url: str) -> Docket:
    return Docket("bench", f"{url}?max_connections={CONNECTIONS}", execution_ttl=KEPT)


async def produce(url: str, parts: list[str]) -> None:
    async with make_docket(url) as docket:

        async def enqueue(number: int, request: dict[str, Any]) -> Any:
            return await docket.add(answer, key=str(number))(request)

        async def round_trip(number: int, request: dict[str, Any]) -> dict[str, Any]:
            execution = await enqueue(number, request)
            return await execution.get_result()  # type: ignore[no-any-return]

        await drive(parts, round_trip, enqueue)


async def serve(url: str) -> None:
    async with make_docket(url) as docket:
        docket.register(answer)
        async with Worker(
            docket, concurrency=CONCURRENCY, minimum_check_interval=CHECK, message_batch=CONCURRENCY
        ) as worker:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await worker.run_forever()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    _, role, address, *rest = sys.argv
    uvloop.run(produce(address, rest) if role == "producer" else serve(address))
