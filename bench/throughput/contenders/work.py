"""The work, the same for all: some JSON there, as much back, the answer checked against its question.

About 1 kB, or as much as BENCH_BODY_BYTES says. Standard library only: it runs in every contender's environment.
"""

import os
from typing import Any

AGENTS = 200
SENTENCE = "The limit of a provider is shared by all who hold its key. "
AROUND_BYTES = 100
CONTENT = SENTENCE * ((int(os.environ.get("BENCH_BODY_BYTES", "1000")) - AROUND_BYTES) // len(SENTENCE))


def make_request(number: int) -> dict[str, Any]:
    """What the `number`-th call asks."""
    return {
        "id": number,
        "model": "gpt-4o",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": CONTENT}],
    }


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What the worker's handler returns, at once."""
    return {
        "id": request["id"],
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": CONTENT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 220, "completion_tokens": 64, "total_tokens": 284},
    }


def check(number: int, reply: dict[str, Any]) -> None:
    """Raises where the answer is another question's."""
    if reply["id"] != number or len(reply["choices"][0]["message"]["content"]) != len(CONTENT):
        raise RuntimeError(f"request {number} got the answer of {reply['id']}")
