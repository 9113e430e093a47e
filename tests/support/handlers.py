"""Handlers for tests: coroutines that a pool's settings name instead of a URL."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

from support.waiting import make_alarm, wait_until, wait_until_sync


async def answer(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """What it was asked, and a status of the body's own choice."""
    asked: dict[str, Any] = {"path": path, "body": json.loads(body), "headers": headers}
    return int(asked["body"].get("status", 200)), {"X-Request-Id": "h1"}, json.dumps(asked).encode()


async def fail(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    raise RuntimeError("the handler's own trouble, with Bearer sk-planted-0123456789")


async def answer_nonsense(path: str, body: bytes, headers: dict[str, str]) -> Any:
    return "nonsense"


async def answer_much(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, b"x" * 1_000_000


async def never_answer(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    await asyncio.Event().wait()
    raise AssertionError("nothing sets it")


async def endanger(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Does harm to its own process as the body asks, and writes a line per call to its file `log`: id, pid.

    `do`: die · block, at the first attempt, the whole process for `block_s` · wait until the file `gate` is there.
    """
    asked: dict[str, Any] = json.loads(body)
    _write_line(Path(asked["log"]), f"{headers['idempotency-key']} {os.getpid()}")
    match asked.get("do"):
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "block" if headers["x-sluicegate-attempt"] == "1":
            wait_until_sync(make_alarm(asked["block_s"]), "it has blocked for long enough", 60)
        case "wait":
            await wait_until(Path(asked["gate"]).exists, "the gate opens", 60)
    return 200, {}, headers["x-sluicegate-attempt"].encode()


def _write_line(file: Path, line: str) -> None:
    with file.open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")
