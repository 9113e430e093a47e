"""Providers that answer at once: with a small answer, or not at all."""

ANSWER = b'{"choices": [{"message": {"content": "' + b"a word and another one, " * 40 + b'"}}]}'
JSON = {"content-type": "application/json"}


async def answer(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:  # noqa: ARG001  # a handler's
    return 200, JSON, ANSWER


async def fail(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:  # noqa: ARG001  # a handler's
    return 500, JSON, b'{"error": "broken"}'
