"""When a provider wants to be asked again: `retry-after-ms`, `Retry-After` in seconds or as a date; pure."""

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

DELAY_S_MAX = 3_600.0  # a provider that asks for more is asked once an hour


def read_retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds from `now_s` (Unix time), between 0 and an hour, or None where nothing usable is said."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, DELAY_S_MAX)
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is None and text:
        seconds = _seconds_until(text, now_s)
    return None if seconds is None else min(seconds, DELAY_S_MAX)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _seconds_until(text: str, now_s: float) -> float | None:
    try:
        at = parsedate_to_datetime(text)
        return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_s)
    except (ValueError, TypeError, OverflowError):
        return None
