"""Every example of the producer's README runs, as it stands, against the real pipeline."""

import ast
import asyncio
import inspect
import json
import re
from types import CodeType
from typing import Any

import pytest

from sluicegate_worker import Dispatcher
from support.source_tree import ROOT
from support.streaming import DONE, EVENTS, USAGE, chat_event
from support.upstream import Arrival, Connection, Upstream, answer

URL = "redis://localhost:6379/0"
README = (ROOT / "producer" / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
CHAT = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4.1-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Half full."}}],
}  # fmt: skip
EMBEDDINGS = {
    "object": "list", "model": "text-embedding-3-small", "usage": {"prompt_tokens": 1, "total_tokens": 1},
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
}  # fmt: skip


async def speak(arrival: Arrival, connection: Connection) -> None:
    """As a provider would."""
    if json.loads(arrival.body).get("stream"):
        await answer(body=chat_event("Half") + chat_event(" full.") + USAGE + DONE, headers=EVENTS)(arrival, connection)
    else:
        said = EMBEDDINGS if arrival.path.endswith("/embeddings") else CHAT
        await answer(body=json.dumps(said).encode())(arrival, connection)


def read_example(source: str, redis_url: str) -> CodeType:
    text = source.replace(URL, redis_url)
    code: CodeType = compile(text, "producer/README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return code


async def run_example(source: str, redis_url: str) -> None:
    code, names = read_example(source, redis_url), dict[str, Any]()
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, names)  # noqa: S307  # our own text
    else:
        await asyncio.to_thread(eval, code, names)


def test_there_are_examples_of_everything() -> None:
    told = "".join(EXAMPLES)
    for name in ("AsyncQueueTransport", "QueueTransport", ".stream(", "submit_many", "as_completed", "FakeProducer"):
        assert name in told


@pytest.mark.usefixtures("at_rest")
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
async def test_it_runs(
    number: int, redis_url: str, dispatcher: Dispatcher, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.behaviour = speak
    async with asyncio.timeout(60):
        await run_example(EXAMPLES[number], redis_url)
    if URL in EXAMPLES[number]:
        assert upstream.arrivals
        assert capsys.readouterr().out
