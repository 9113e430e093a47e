"""What a good answer teaches the scripts, in the words of `settle.lua`: tokens used, and limits reported; pure."""

from collections.abc import Mapping
from typing import Any

from sluicegate_worker.upstream.accounting import ACCOUNTING, Spent, charged, read_spent
from sluicegate_worker.upstream.reported import read_reported

_MICRO = 1_000_000
_UNSAID = "-"


def write_usage(provider: str, usage: Mapping[str, Any] | None, asked_out: int) -> str:
    """Tokens counted by the provider's limit, in and out, then really used, in and out; empty where it does not say.

    `asked_out` is the most that was asked for, negative where nothing was.
    """
    spent = read_spent(usage)
    return "" if spent is None else write_spent(provider, spent, asked_out)


def write_spent(provider: str, spent: Spent, asked_out: int) -> str:
    """The same of what is known by other means."""
    counted_in, counted_out = charged(ACCOUNTING[provider], spent, asked_out if asked_out >= 0 else None)
    return f"{counted_in} {counted_out} {spent.tokens_in} {spent.tokens_out}"


def write_reported(provider: str, headers: Mapping[str, str], now_s: float) -> str:
    """Four words for each dimension: its name, the limit a minute, what remains, microseconds until all is back."""
    words: list[str] = []
    for dimension, reported in read_reported(provider, headers, now_s).items():
        reset_us = None if reported.reset_s is None else round(reported.reset_s * _MICRO)
        words += [dimension, *(_write(value) for value in (reported.limit, reported.remaining, reset_us))]
    return " ".join(words)


def _write(value: float | None) -> str:
    return _UNSAID if value is None else f"{value:.0f}"
