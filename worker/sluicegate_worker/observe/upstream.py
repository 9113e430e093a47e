"""One upstream in the status document: its limits, its pace, its breaker and what it was sent of late; pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from sluicegate_worker.observe.calls import CallCounts, count_calls, count_day
from sluicegate_worker.policy_settings import UpstreamPolicy
from sluicegate_worker.script_terms import Dimension, paced_rate

_MICRO = 1_000_000
_DIMENSIONS: tuple[Dimension, ...] = ("rpm", "tpm", "itpm", "otpm")
_ALWAYS_SHOWN = ("rpm", "tpm")
_HELD = "operator"

State = Mapping[str, bytes]


def describe_upstream(upstream: UpstreamPolicy, flat: Sequence[bytes], held: int, now_us: int) -> dict[str, Any]:
    """`flat` is its hash as Redis answers it; `held` is 1 where an operator pauses it."""
    state = {name.decode(errors="replace"): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
    counts = count_calls((value for name, value in state.items() if name.startswith("cell:")), now_us)
    factor = float(state.get("pace", 1))
    pause_s = max(0.0, (float(state.get("pause_until_us", 0)) - now_us) / _MICRO)
    reason = state.get("pause_reason", b"").decode(errors="replace") if pause_s else None
    breaker = describe_breaker(state, now_us)
    return {
        "name": upstream.name,
        "provider": upstream.provider,
        "limit": _describe_limits(upstream, None),
        "paced": _describe_limits(upstream, factor),
        "actual": {"rpm": counts.rpm, "tpm": counts.tpm},
        "left_24h": _describe_day(upstream, state, now_us),
        "factor": factor,
        "pause_s": pause_s,
        "pause_reason": _HELD if held else reason,
        "breaker": breaker,
        "breaker_reason": None if breaker == "closed" else state.get("breaker_reason", b"").decode(errors="replace"),
        "in_flight": int(state.get("in_flight", 0)),
        **_describe_counts(counts, upstream.rpm),
    }


def _describe_day(upstream: UpstreamPolicy, state: State, now_us: int) -> dict[str, float]:
    """What is left of the limits a day; only of those that there are."""
    used = count_day((value for name, value in state.items() if name.startswith("hour:")), now_us)
    limits = {"rpd": upstream.rpd, "tpd": upstream.tpd}
    return {name: max(0.0, limit - used[name]) for name, limit in limits.items() if limit is not None}


def describe_breaker(state: State, now_us: int) -> str:
    """Half-open: its time is over, and the next call tells."""
    if not state.get("breaker"):
        return "closed"
    return "open" if float(state.get("open_until_us", 0)) > now_us else "half_open"


def _describe_limits(upstream: UpstreamPolicy, factor: float | None) -> dict[str, float | None]:
    """As configured, or with a factor as they are kept to now; of input and output tokens only where there are such."""
    rates: dict[str, float | None] = {}
    for dimension in _DIMENSIONS:
        limit: float | None = getattr(upstream, dimension)
        if limit is not None or dimension in _ALWAYS_SHOWN:
            paced = paced_rate(upstream, dimension)
            rates[dimension] = limit if factor is None or paced is None else paced * factor
    return rates


def _describe_counts(counts: CallCounts, limit_rpm: float | None) -> Mapping[str, int | float | None]:
    return {
        "calls_60s": counts.calls_60s,
        "status_429_60s": counts.refusals_60s,
        "utilisation_60s": None if limit_rpm is None else counts.calls_60s / limit_rpm,
    }
