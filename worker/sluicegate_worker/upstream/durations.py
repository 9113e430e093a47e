"""Numbers, durations and times as providers write them into headers and bodies; pure."""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_GO_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_GO_DURATION = re.compile(rf"(?:{_GO_PART.pattern})+|0", re.ASCII)
_GO_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_CHARACTERS_MAX = 64  # what is longer is none of these


def parse_number(text: object) -> float | None:
    """A finite number from 0."""
    try:
        value = float(text) if isinstance(text, str) else -1.0
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def parse_go_duration_s(text: object) -> float | None:
    """`1s`, `6m0s`, `12ms`, `1h0m0s`, `1m26.4s`; `45.837906927s` of `google.rpc` is one of these too."""
    trimmed = _trimmed(text)
    if not _GO_DURATION.fullmatch(trimmed):
        return None
    return math.fsum(float(number) * _GO_UNITS_S[unit] for number, unit in _GO_PART.findall(trimmed))


def parse_rfc3339_s(text: object) -> float | None:
    """Unix time."""
    trimmed = _trimmed(text)
    if not _RFC3339.fullmatch(trimmed):
        return None
    try:
        return datetime.fromisoformat(trimmed.upper()).timestamp()
    except (ValueError, OverflowError):
        return None


def parse_http_date_s(text: object) -> float | None:
    """Unix time. A date without a zone is in UTC, wherever this machine is."""
    try:
        at = parsedate_to_datetime(_trimmed(text))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def parse_reset_s(text: object, now_s: float) -> float | None:
    """Seconds from `now_s` until a limit is open again: plain seconds, a Go duration or a time by RFC 3339."""
    seconds = parse_number(text)
    if seconds is None:
        seconds = parse_go_duration_s(text)
    if seconds is None and (at_s := parse_rfc3339_s(text)) is not None:
        seconds = max(0.0, at_s - now_s)
    return seconds


def _trimmed(text: object) -> str:
    return text.strip() if isinstance(text, str) and len(text) <= _CHARACTERS_MAX else ""
