"""Celery: four threads, without gossip, mingle, heartbeat, events and remote control; JSON; results kept in Redis.

Its threads were faster here than processes of its prefork pool, and than one alone.
"""

import sys
from typing import Any

from celery import Celery
from celery.signals import worker_ready
from driving_sync import drive_sync

import work

THREADS = 4
PREFETCH = 64
KEPT_S = 60
TIMEOUT_S = 60.0
POLL_S = 0.002

_, role, url, *parts = sys.argv
app = Celery("bench", broker=url, backend=url)
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    result_expires=KEPT_S,
    task_acks_late=True,
    worker_prefetch_multiplier=PREFETCH,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    task_send_sent_event=False,
    broker_connection_retry_on_startup=True,
    broker_pool_limit=10,
)


@app.task(name="answer")  # type: ignore[untyped-decorator]
def answer(request: dict[str, Any]) -> dict[str, Any]:
    return work.answer(request)


def enqueue(number: int, request: dict[str, Any]) -> Any:  # noqa: ARG001
    return answer.delay(request)


def await_reply(handle: Any) -> dict[str, Any]:
    return handle.get(timeout=TIMEOUT_S, interval=POLL_S)  # type: ignore[no-any-return]


@worker_ready.connect  # type: ignore[untyped-decorator]
def say_ready(**_: Any) -> None:
    print("ready", file=sys.__stdout__, flush=True)  # its own goes to the log


if __name__ == "__main__":
    if role == "producer":
        drive_sync(parts, enqueue, await_reply)
    else:
        app.worker_main(
            [
                "worker",
                "--pool=threads",
                f"--concurrency={THREADS}",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
                "--loglevel=ERROR",
            ]
        )
