"""Between HTTP, as an SDK speaks it, and the queue: what a request asks for, and what an error is as an answer; pure.

Errors have the body that both OpenAI's and Anthropic's SDKs read, so that they become the exceptions which their users
know.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from sluicegate.errors import (
    BacklogFull,
    InvalidRequest,
    RequestCancelled,
    RequestDead,
    SluicegateError,
    StoreUnavailable,
    WouldMissDeadline,
)
from sluicegate.submission import Options
from sluicegate.wire import Reply

_AGENT, _PRIORITY, _KEY = "x-sluicegate-agent", "x-sluicegate-priority", "idempotency-key"
_STREAMING_PATHS = (":streamGenerateContent", "/converse-stream")
_DIRECTLY = "ask the provider directly for it, with a client without this transport"


class Question(NamedTuple):
    """The arguments of `request` or `stream`."""

    path: str
    body: bytes | None
    options: Options
    is_streamed: bool


class Refusal(NamedTuple):
    """An answer that no provider gave."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Body(msgspec.Struct):
    stream: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_encode = msgspec.json.Encoder().encode

# The words of Anthropic's errors; OpenAI's are free.
_TYPES = {400: "invalid_request_error", 429: "rate_limit_error", 503: "overloaded_error"}


def read_question(
    method: str, scheme: str, target: str, headers: Mapping[str, str], body: bytes, timeout_s: float | None
) -> Question:
    """`target` is path and query; names of `headers` are lower case. Raises InvalidRequest for what is no JSON over
    HTTP."""
    if scheme not in ("http", "https"):
        raise InvalidRequest(f"{scheme} does not wait in a queue: {_DIRECTLY}")
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if body and not kind.endswith("json"):
        raise InvalidRequest(f"a body of {kind:.100} does not wait in a queue, only JSON does: {_DIRECTLY}")
    options: Options = {"method": method, "headers": headers}
    if timeout_s is not None:
        options["deadline"] = timeout_s
    if _AGENT in headers:
        options["agent"] = headers[_AGENT]
    if _PRIORITY in headers:
        options["priority"] = headers[_PRIORITY]  # type: ignore[typeddict-item]  # it is checked with the rest
    if _KEY in headers:
        options["key"] = headers[_KEY]
    is_streamed = target.partition("?")[0].endswith(_STREAMING_PATHS) or _asks_for_stream(body)
    return Question(target, body or None, options, is_streamed)


def _asks_for_stream(body: bytes) -> bool:
    try:
        return _decode(body).stream is True
    except (ValueError, RecursionError):
        return False  # whatever it is, it is refused elsewhere


def head_of(request_id: str, headers: Mapping[str, str], reply: Reply | None = None) -> dict[str, str]:
    """An answer's headers: the provider's, and ours."""
    ours = {"x-sluicegate-id": request_id}
    if reply is not None:
        ours["x-sluicegate-attempts"] = str(reply.attempts)
        ours["x-sluicegate-queued-ms"] = f"{reply.queued_s * 1000:.0f}"
    return {**headers, **ours}


def refuse(error: SluicegateError) -> Refusal:
    """The answer that the error is. Only what says when to come back is worth another try."""
    status, retry_after_s = _judge(error)
    headers = {"content-type": "application/json", "x-sluicegate-error": type(error).__name__}
    if retry_after_s is None:
        headers["x-should-retry"] = "false"
    else:
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    kind = _TYPES.get(status, "api_error")
    described = {"type": kind, "code": type(error).__name__, "message": str(error), "param": None}
    return Refusal(status, headers, _encode({"type": "error", "error": described}))


def _judge(error: SluicegateError) -> tuple[int, float | None]:
    """Status, and seconds until another try makes sense."""
    match error:
        case InvalidRequest():
            return 400, None
        case BacklogFull() | WouldMissDeadline():
            return 429, error.retry_after_s
        case StoreUnavailable():
            return 503, 1.0
        case RequestDead():
            return (error.status if error.status is not None and error.status >= 400 else 502), None
        case RequestCancelled():
            return 499, None
    return 502, None
