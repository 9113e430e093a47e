"""dramatiq: four threads in one process, prefetch 1,000, bodies by msgspec, and of its middleware only the results.

More threads take each other the interpreter; the other middleware is for what this work does not have. A result is read
as its own documentation has it: the client blocks on the result's list.
"""

import os
import sys
from typing import Any

os.environ["dramatiq_queue_prefetch"] = "1000"  # noqa: SIM112  # its own name; read when it is imported

import dramatiq
import msgspec
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from driving_sync import drive_sync

import work

THREADS = 4
TIMEOUT_MS = 60_000


class MsgspecEncoder(dramatiq.Encoder):  # type: ignore[misc]
    def encode(self, data: dict[str, Any]) -> bytes:
        return msgspec.json.encode(data)

    def decode(self, data: bytes) -> dict[str, Any]:
        return msgspec.json.decode(data)  # type: ignore[no-any-return]


role, url, *parts = sys.argv[1:]
encoder = MsgspecEncoder()
dramatiq.set_encoder(encoder)
broker = RedisBroker(url=url, middleware=[])
broker.add_middleware(Results(backend=RedisBackend(url=url, encoder=encoder), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor  # type: ignore[untyped-decorator]
def answer(request: dict[str, Any]) -> dict[str, Any]:
    return work.answer(request)


def enqueue(number: int, request: dict[str, Any]) -> Any:  # noqa: ARG001
    return answer.send(request)


def await_reply(handle: Any) -> dict[str, Any]:
    return handle.get_result(block=True, timeout=TIMEOUT_MS)  # type: ignore[no-any-return]


if role == "producer":
    drive_sync(parts, enqueue, await_reply)
else:
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    worker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    worker.join()
    __import__("threading").Event().wait()
