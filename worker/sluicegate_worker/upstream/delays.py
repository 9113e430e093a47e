"""When a provider wants to be asked again: the first of what it says in headers and body; pure.

1. `retry-after-ms`.
2. `Retry-After`, in seconds or as a date.
3. Google's `RetryInfo` in the body.
4. The reset of a limit of which nothing remains.
"""

from collections.abc import Mapping

from sluicegate_worker.upstream.durations import (
    parse_go_duration_s,
    parse_http_date_s,
    parse_number,
    parse_reset_s,
)
from sluicegate_worker.upstream.error_body import read_error

DELAY_S_MAX = 3_600.0  # a provider that asks for more is asked once an hour

# What remains of a limit, and when there is more of it.
_LIMITS = (
    *((f"x-ratelimit-remaining-{unit}", f"x-ratelimit-reset-{unit}") for unit in ("requests", "tokens")),
    *(
        (f"anthropic-ratelimit-{unit}-remaining", f"anthropic-ratelimit-{unit}-reset")
        for unit in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)


def read_retry_after_s(headers: Mapping[str, str], body: bytes, now_s: float) -> float | None:
    """Seconds from `now_s` (Unix time), between 0 and an hour, or None where nothing usable is said."""
    seconds = _asked_by_header_s(headers, now_s)
    if seconds is None:
        seconds = _asked_by_body_s(body)
    if seconds is None:
        seconds = _spent_limits_open_in_s(headers, now_s)
    return None if seconds is None else min(seconds, DELAY_S_MAX)


def _asked_by_header_s(headers: Mapping[str, str], now_s: float) -> float | None:
    milliseconds = parse_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = parse_number(text)
    if seconds is None and (at_s := parse_http_date_s(text)) is not None:
        seconds = max(0.0, at_s - now_s)
    return seconds


def _asked_by_body_s(body: bytes) -> float | None:
    asked = (parse_go_duration_s(detail.get("retryDelay")) for detail in read_error(body).google_details(".RetryInfo"))
    return max((seconds for seconds in asked if seconds is not None), default=None)


def _spent_limits_open_in_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The last of them: until then another would refuse the next call."""
    spent = (
        parse_reset_s(headers.get(reset), now_s) for left, reset in _LIMITS if parse_number(headers.get(left)) == 0
    )
    return max((seconds for seconds in spent if seconds is not None), default=None)
