"""Whose fault an answer is; pure. A 429 is a fact about the key, a 401 about the upstream's credentials, a 400 the
caller's own."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from sluicegate_worker.upstream.call import Answer
from sluicegate_worker.upstream.error_body import ErrorBody, read_error

# `rate` is too much of a limit, `ramp` too much more than a moment ago, `quota` the end of it until a person or a new
# day comes, `overload` everybody's.
Kind = Literal["final", "rate", "ramp", "quota", "overload", "credentials", "transient", "unusable"]

_QUOTA_CODES = frozenset(
    {"insufficient_quota", "credit_balance_exhausted", "enforced_spend_limit_reached", "billing_hard_limit_reached"}
)
_OVERLOAD_CODES = frozenset({"server_is_overloaded", "overloaded_error", "engine_overloaded"})
_RAMP_CODE = "slow_down"
_RAMP_WORDS = ("acceleration limit", "usage increase rate")  # Anthropic has no code for it
_AWS_THROTTLING = "ThrottlingException"


class _Body(Struct):
    usage: Any = None
    gemini_usage: Any = msgspec.field(default=None, name="usageMetadata")


_decode = msgspec.json.Decoder(_Body).decode


def classify(answer: Answer) -> Kind:
    status = answer.status
    if status in (401, 402, 403):
        return "credentials"
    if status == 429:
        return _judge_refusal(read_error(answer.body))
    if status == 400:
        return "rate" if _is_throttled_by_aws(answer) else "final"
    if status == 503:
        return _judge_unavailability(read_error(answer.body))
    if status == 529:
        return "overload"
    if status >= 500 or status in (408, 425):
        return "transient"
    if 300 <= status < 400 or status < 200:
        return "unusable"
    return "final"


def _judge_refusal(error: ErrorBody) -> Kind:
    if error.codes & _QUOTA_CODES or _is_daily_quota(error):
        return "quota"
    message = error.message.lower()
    if _RAMP_CODE in error.codes or any(words in message for words in _RAMP_WORDS):
        return "ramp"
    return "rate"


def _judge_unavailability(error: ErrorBody) -> Kind:
    if _RAMP_CODE in error.codes:
        return "ramp"
    return "overload" if error.codes & _OVERLOAD_CODES else "transient"


def _is_daily_quota(error: ErrorBody) -> bool:
    for failure in error.google_details(".QuotaFailure"):
        violations = failure.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict):
                names = f"{violation.get('quotaId')} {violation.get('quotaMetric')}"
                if "perday" in names.replace("_", "").lower():
                    return True
    return False


def _is_throttled_by_aws(answer: Answer) -> bool:
    """AWS names its errors `namespace#Name:address`, in a header or in the body; some of its APIs throttle by 400."""
    names = (answer.headers.get("x-amzn-errortype", ""), read_error(answer.body).aws_type)
    return any(name.partition(":")[0].rpartition("#")[2] == _AWS_THROTTLING for name in names)


def read_usage(body: bytes) -> dict[str, Any] | None:
    """What the provider says that the request used, as it says it."""
    try:
        found = _decode(body)
        usage = found.usage if isinstance(found.usage, dict) else found.gemini_usage
        msgspec.json.encode(usage)  # read, it may still be too deep to be written down
    except (ValueError, RecursionError):
        return None
    return usage if isinstance(usage, dict) else None
