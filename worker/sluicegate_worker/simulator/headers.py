"""What the headers of an answer say about the limit, in OpenAI's words."""

from sluicegate_worker.simulator.limits import Verdict


def limit_headers(verdict: Verdict) -> dict[str, str]:
    """The limit is the one per minute; what remains and when it resets follow the way it is enforced."""
    return {
        "x-ratelimit-limit-requests": str(verdict.limit),
        "x-ratelimit-remaining-requests": str(verdict.remaining),
        "x-ratelimit-reset-requests": format_go_duration(verdict.reset_us),
    }


def retry_headers(verdict: Verdict) -> dict[str, str]:
    """Goes with a 429: when to come back, in whole seconds and, as only OpenAI has it, in milliseconds."""
    wait_ms = _divide_up(verdict.wait_us, 1_000)
    return {"retry-after": str(_divide_up(wait_ms, 1_000)), "retry-after-ms": str(wait_ms)}


def format_go_duration(duration_us: int) -> str:
    """As Go prints a duration, rounded up to milliseconds: `0s`, `12ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    ms = _divide_up(duration_us, 1_000)
    if 0 < ms < 1_000:
        return f"{ms}ms"
    seconds, ms = divmod(ms, 1_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{ms:03d}".rstrip("0") if ms else ""
    if hours:
        return f"{hours}h{minutes}m{seconds}{fraction}s"
    if minutes:
        return f"{minutes}m{seconds}{fraction}s"
    return f"{seconds}{fraction}s"


def _divide_up(amount: int, by: int) -> int:
    return -(-amount // by)
