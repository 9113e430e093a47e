"""What an answer's headers report of the key's limits, in our names for them; pure."""

from collections.abc import Mapping
from typing import NamedTuple

from sluicegate_worker.upstream.durations import parse_number, parse_reset_s


class Reported(NamedTuple):
    """Of one limit, None where nothing usable is said: how much a minute, how much of it is left, when it is whole
    again."""

    limit: float | None
    remaining: float | None
    reset_s: float | None


class Trust(NamedTuple):
    """The headers of one provider: `{unit}` and `{field}` make a name, `units` leads from our names to its own."""

    header: str
    units: dict[str, str]
    limits: bool = True  # whether what it calls the limit is one per minute
    late_s: float = 0.0  # by how much its resets may be too late


_OPENAI = Trust("x-ratelimit-{field}-{unit}", {"rpm": "requests", "tpm": "tokens"})

TRUST: dict[str, Trust] = {
    "openai": _OPENAI,
    "azure": _OPENAI._replace(limits=False),  # reports limits of ten seconds, or of some other time
    "anthropic": Trust(
        "anthropic-ratelimit-{unit}-{field}",
        {"rpm": "requests", "tpm": "tokens", "itpm": "input-tokens", "otpm": "output-tokens"},
        late_s=1.0,  # moments in whole seconds
    ),
    "generic": _OPENAI,  # what most compatible servers have
}  # gemini and bedrock report nothing

_FIELDS = ("limit", "remaining", "reset")
_HEADERS = {
    provider: [
        (dimension, [trust.header.format(field=field, unit=unit) for field in _FIELDS])
        for dimension, unit in trust.units.items()
    ]
    for provider, trust in TRUST.items()
}


def read_reported(provider: str, headers: Mapping[str, str], now_s: float) -> dict[str, Reported]:
    """By dimension, those only of which something is said; `now_s` is Unix time."""
    trust = TRUST.get(provider)
    if trust is None:
        return {}
    found = {}
    for dimension, names in _HEADERS[provider]:
        limit, remaining, reset = map(headers.get, names)
        if limit is not None or remaining is not None or reset is not None:
            found[dimension] = _read(trust, limit, remaining, reset, now_s)
    return {dimension: reported for dimension, reported in found.items() if reported != (None, None, None)}


def _read(trust: Trust, limit: str | None, remaining: str | None, reset: str | None, now_s: float) -> Reported:
    reset_s = parse_reset_s(reset, now_s)
    return Reported(
        limit=parse_number(limit) or None if trust.limits else None,  # nobody has a limit of nothing
        remaining=parse_number(remaining),
        reset_s=None if reset_s is None else max(0.0, reset_s - trust.late_s),
    )
