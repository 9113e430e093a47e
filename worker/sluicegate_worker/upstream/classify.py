"""Whose fault an answer is; pure. A 429 is a fact about the key, a 401 about the upstream's credentials, a 400 the
caller's own."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from sluicegate_worker.upstream.call import Answer

Kind = Literal["final", "rate", "quota", "overload", "credentials", "transient", "unusable"]

_QUOTA_CODES = frozenset(
    {"insufficient_quota", "credit_balance_exhausted", "enforced_spend_limit_reached", "billing_hard_limit_reached"}
)
_OVERLOAD_CODES = frozenset({"server_is_overloaded", "overloaded_error", "slow_down", "engine_overloaded"})


class _Body(Struct):
    error: Any = None
    usage: Any = None


_decode = msgspec.json.Decoder(_Body).decode


def classify(answer: Answer) -> Kind:
    status = answer.status
    if status in (401, 402, 403):
        return "credentials"
    if status == 429:
        return "quota" if error_code(answer.body) in _QUOTA_CODES else "rate"
    if status == 529 or (status == 503 and error_code(answer.body) in _OVERLOAD_CODES):
        return "overload"
    if status >= 500 or status in (408, 425):
        return "transient"
    if 300 <= status < 400 or status < 200:
        return "unusable"
    return "final"


def error_code(body: bytes) -> str | None:
    """The code, or else the type, of an OpenAI- or Anthropic-shaped error body."""
    error = _peek(body).error
    if not isinstance(error, dict):
        return None
    return next((error[name] for name in ("code", "type") if isinstance(error.get(name), str)), None)


def read_usage(body: bytes) -> dict[str, Any] | None:
    """What the provider says that the request used, as it says it."""
    usage = _peek(body).usage
    try:
        msgspec.json.encode(usage)
    except (ValueError, RecursionError):  # read, it may still be too deep to be written down
        return None
    return usage if isinstance(usage, dict) else None


def _peek(body: bytes) -> _Body:
    try:
        return _decode(body)
    except (ValueError, RecursionError):
        return _Body()
