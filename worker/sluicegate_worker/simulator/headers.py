"""What the headers of an answer say about the limits, in each provider's words."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sluicegate_worker.simulator.behaviour import Dimension
from sluicegate_worker.simulator.limits import Standing

Standings = Mapping[Dimension, Standing]

OPENAI_NAMES: dict[Dimension, str] = {"rpm": "requests", "tpm": "tokens"}
ANTHROPIC_NAMES: dict[Dimension, str] = {
    "rpm": "requests",
    "tpm": "tokens",
    "itpm": "input-tokens",
    "otpm": "output-tokens",
}
TEN_SECONDS_PER_MINUTE = 6


def openai_limits(standings: Standings, now_us: int) -> dict[str, str]:  # noqa: ARG001 - resets are durations
    """The limit is the one per minute; what remains and when it resets follow the way it is enforced."""
    headers = {}
    for dimension, name in OPENAI_NAMES.items():
        if standing := standings.get(dimension):
            headers[f"x-ratelimit-limit-{name}"] = str(standing.limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(standing.remaining)
            headers[f"x-ratelimit-reset-{name}"] = format_go_duration(standing.reset_us)
    return headers


def azure_limits(standings: Standings, now_us: int) -> dict[str, str]:
    """As OpenAI's, but for resets, of which there are none, and the limit of requests, which is that of ten seconds."""
    headers = {name: text for name, text in openai_limits(standings, now_us).items() if "-reset-" not in name}
    if rpm := standings.get("rpm"):
        headers["x-ratelimit-limit-requests"] = str(max(1, rpm.limit // TEN_SECONDS_PER_MINUTE))
    return headers


def anthropic_limits(standings: Standings, now_us: int) -> dict[str, str]:
    """Resets are moments, in whole seconds."""
    headers = {}
    for dimension, name in ANTHROPIC_NAMES.items():
        if standing := standings.get(dimension):
            headers[f"anthropic-ratelimit-{name}-limit"] = str(standing.limit)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(standing.remaining)
            headers[f"anthropic-ratelimit-{name}-reset"] = format_rfc3339(now_us + standing.reset_us)
    return headers


def no_limits(standings: Standings, now_us: int) -> dict[str, str]:  # noqa: ARG001 - where others say much
    return {}


def openai_retry(wait_us: int) -> dict[str, str]:
    """When to come back, in whole seconds and, as only OpenAI and Azure have it, in milliseconds."""
    return plain_retry(wait_us) | {"retry-after-ms": str(_divide_up(wait_us, 1_000))}


def plain_retry(wait_us: int) -> dict[str, str]:
    return {"retry-after": str(_divide_up(wait_us, 1_000_000))}


def openai_request(serial: str, duration_us: int) -> dict[str, str]:
    return {"x-request-id": f"req_{serial}", "openai-processing-ms": str(duration_us // 1_000)}


def anthropic_request(serial: str, duration_us: int) -> dict[str, str]:  # noqa: ARG001 - it does not say
    return {"request-id": f"req_{serial}"}


def plain_request(serial: str, duration_us: int) -> dict[str, str]:  # noqa: ARG001 - it does not say
    return {"x-request-id": f"req_{serial}"}


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


def format_rfc3339(at_us: int) -> str:
    """Unix time, rounded up to seconds: `2027-01-15T08:00:00Z`."""
    return datetime.fromtimestamp(_divide_up(at_us, 1_000_000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _divide_up(amount: int, by: int) -> int:
    return -(-amount // by)
