"""taskiq: RedisStreamBroker, which acknowledges; orjson; 50 connections; reads 500 at once; parameters are not checked.

Results are polled for: every 100 ms under load, every 2 ms for the unloaded latency, and are removed once read.
"""

import sys
from typing import Any

import uvloop
from taskiq.api import run_receiver_task
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

import work
from driving import drive

CONNECTIONS = 50
READ_AT_ONCE = 500
BLOCK_MS = 1_000
TASKS = 1_000
STREAM_MOST = 1_000_000  # entries stay in its stream
POLL_S = {"idle": 0.002}
LOADED_POLL_S = 0.1
KEPT_S = 60

_, role, url, *parts = sys.argv
broker = (
    RedisStreamBroker(
        url,
        max_connection_pool_size=CONNECTIONS,
        consumer_id="0",
        xread_count=READ_AT_ONCE,
        xread_block=BLOCK_MS,
        maxlen=STREAM_MOST,
        socket_timeout=None,
    )
    .with_result_backend(
        RedisAsyncResultBackend(
            url,
            keep_results=False,
            result_ex_time=KEPT_S,
            max_connection_pool_size=CONNECTIONS,
            serializer=ORJSONSerializer(),
            socket_timeout=None,
        )
    )
    .with_serializer(ORJSONSerializer())
)


@broker.task(task_name="answer")  # type: ignore[untyped-decorator]
async def answer(request: dict[str, Any]) -> dict[str, Any]:
    return work.answer(request)


async def enqueue(number: int, request: dict[str, Any]) -> Any:  # noqa: ARG001
    return await answer.kiq(request)


async def produce() -> None:
    await broker.startup()
    for part in parts:
        poll_s = POLL_S.get(part.partition(":")[0], LOADED_POLL_S)

        async def round_trip(number: int, request: dict[str, Any], poll_s: float = poll_s) -> dict[str, Any]:
            task = await enqueue(number, request)
            return (await task.wait_result(check_interval=poll_s)).return_value  # type: ignore[no-any-return]

        await drive([part], round_trip, enqueue)
    await broker.shutdown()


async def serve() -> None:
    broker.is_worker_process = True
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await run_receiver_task(broker, max_async_tasks=TASKS, validate_params=False, run_startup=True)


if __name__ == "__main__":
    uvloop.run(produce() if role == "producer" else serve())
