"""Handlers for tests: coroutines that a pool's settings name instead of a URL."""

import asyncio
import json
from typing import Any


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
