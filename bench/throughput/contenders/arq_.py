"""arq: a thousand jobs at once, msgpack, the worker polls every 5 ms.

Results are polled for as well: every 50 ms under load, which gave the most, and every 2 ms for the unloaded latency.
"""

import sys
from typing import Any

import msgspec
import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

import work
from driving import drive

CONNECTIONS = 3_000
JOBS = 1_000
WORKER_POLL_S = 0.005
POLL_S = {"idle": 0.002}
LOADED_POLL_S = 0.05
KEPT_S = 60

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


def make_settings(url: str) -> RedisSettings:
    settings = RedisSettings.from_dsn(url)
    settings.max_connections = CONNECTIONS
    return settings


async def answer(context: Any, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    return work.answer(request)


async def produce(url: str, parts: list[str]) -> None:
    pool = await create_pool(make_settings(url), job_serializer=encode, job_deserializer=decode)

    async def enqueue(number: int, request: dict[str, Any]) -> Any:  # noqa: ARG001
        return await pool.enqueue_job("answer", request)

    for part in parts:
        poll_s = POLL_S.get(part.partition(":")[0], LOADED_POLL_S)

        async def round_trip(number: int, request: dict[str, Any], poll_s: float = poll_s) -> dict[str, Any]:
            job = await enqueue(number, request)
            return await job.result(poll_delay=poll_s)  # type: ignore[no-any-return]

        await drive([part], round_trip, enqueue)


async def serve(url: str) -> None:
    pool = await create_pool(make_settings(url), job_serializer=encode, job_deserializer=decode)
    worker = Worker(
        [func(answer, name="answer", keep_result=KEPT_S)],
        redis_pool=pool,
        max_jobs=JOBS,
        poll_delay=WORKER_POLL_S,
        handle_signals=False,
        job_serializer=encode,
        job_deserializer=decode,
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await worker.async_run()


if __name__ == "__main__":
    _, role, address, *rest = sys.argv
    uvloop.run(produce(address, rest) if role == "producer" else serve(address))
