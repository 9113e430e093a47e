"""The part of a pool's settings that goes to Redis and is the same for every dispatcher: limits, weights, retry.

Where requests go and with which key is not here and must never be: whoever may write to Redis could otherwise send an
agent's requests, and the provider's key with them, to a place of his own.
"""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from sluicegate.names import NAME
from sluicegate_worker.settings_reading import SettingsError, read_fields

PROVIDERS = ("openai", "azure", "anthropic", "gemini", "bedrock", "generic")


def number(low: float, high: float) -> Meta:
    """The ends are there for the scripts: what is closer to zero or larger than these overflows in microseconds."""
    return Meta(ge=low, le=high, description=f"a number from {low:_} to {high:_}")


def whole_number(high: int) -> Meta:
    return Meta(ge=1, le=high, description=f"a whole number from 1 to {high:_}")


Name = Annotated[str, Meta(pattern=rf"\A{NAME.pattern}", description="1 to 64 of the characters A-Z a-z 0-9 . _ -")]
Provider = Annotated[str, Meta(pattern=rf"\A(?:{'|'.join(PROVIDERS)})\Z", description=f"one of {', '.join(PROVIDERS)}")]
Text = Annotated[
    str, Meta(pattern=r"\A[^\x00-\x1f\x7f\ud800-\udfff]+\Z", description="text without control characters, not empty")
]
Duration = Annotated[float, number(0.001, 315_360_000)]
Share = Annotated[float, number(0, 1)]
Weight = Annotated[float, number(0.001, 1_000_000)]
PerMinute = Annotated[float, number(0.001, 60_000_000)]
TokensPerMinute = Annotated[float, number(0.001, 1_000_000_000_000)]
Count = Annotated[int, whole_number(1_000_000_000)]
TotalBytes = Annotated[int, whole_number(1_000_000_000_000_000)]
ValueBytes = Annotated[int, whole_number(536_870_912)]  # the largest value that Redis stores


class Retry(Struct, frozen=True, kw_only=True):
    """How often and how late a failed call is tried again."""

    max_attempts: Count = 5
    base_s: Duration = 0.5
    cap_s: Duration = 60
    share: Share = 0.2  # of slots, while fresh work waits


class Breaker(Struct, frozen=True, kw_only=True):
    """When an upstream is not called any more, and when it is tried: after a twentieth of the time it has been open."""

    failures: Count = 10  # in a row, or
    share: Share = 0.5  # of all answers within five to ten seconds, where these are at least twice as many
    open_s: Duration = 0.5  # at least,
    cap_s: Duration = 5  # and at most


class UpstreamRules(Struct, frozen=True, kw_only=True):
    """What one upstream can carry; a limit that is left out is no limit."""

    name: Name
    provider: Provider
    rpm: PerMinute | None = None
    tpm: TokensPerMinute | None = None
    itpm: TokensPerMinute | None = None
    otpm: TokensPerMinute | None = None
    rpd: TokensPerMinute | None = None
    tpd: TokensPerMinute | None = None
    burst_s: Annotated[float, number(0, 3_600)] = 0
    headroom: Annotated[float, number(0, 0.99)] = 0.025  # the bucket leaks at rate × (1 − headroom)
    max_in_flight: Count = 200


class PoolRules(Struct, frozen=True, kw_only=True):
    """What holds for a whole pool."""

    models: tuple[Text, ...] = ("*",)
    max_backlog: Count = 100_000
    max_backlog_per_agent: Count = 1_000
    max_backlog_bytes: TotalBytes = 1_073_741_824
    max_request_bytes: ValueBytes = 1_048_576
    max_reply_bytes: ValueBytes = 16_777_216
    deadline_s: Duration = 300
    reply_ttl_s: Duration = 3_600
    dead_ttl_s: Duration = 1_209_600
    lease_s: Annotated[float, number(1, 3_600)] = 10
    poison_after: Count = 3
    slot_horizon_s: Annotated[float, number(0.01, 1)] = 0.1
    weights: dict[Text, Weight] = {}
    batch_share: Share = 0.05
    max_in_flight_per_agent: Count | None = None
    max_tokens_per_agent: TokensPerMinute | None = None  # in each window of the clock
    tokens_window_s: Duration = 86_400
    retry: Retry = Retry()
    breaker: Breaker = Breaker()


class UpstreamPolicy(UpstreamRules, frozen=True, kw_only=True):
    """An upstream as Redis knows it. No relative of `settings.Upstream`, so that the type checker keeps secrets out."""


class Policy(PoolRules, frozen=True, kw_only=True):
    """A pool as Redis knows it. Unknown fields are ignored: during a rollout a newer version may have written it."""

    upstreams: tuple[UpstreamPolicy, ...]


def check_policy(policy: Policy, path: str) -> None:
    """Raises SettingsError unless every setting of the pool at `path` has a sense, alone and with the others."""
    read_fields(Policy, policy, path)
    if not policy.models:
        raise SettingsError(f'{path}.models must name at least one pattern; ["*"] takes every model')
    if policy.retry.cap_s < policy.retry.base_s:
        raise SettingsError(f"{path}.retry.cap_s must be at least base_s, which is {policy.retry.base_s}")
    if policy.breaker.cap_s < policy.breaker.open_s:
        raise SettingsError(f"{path}.breaker.cap_s must be at least open_s, which is {policy.breaker.open_s}")
    if not policy.upstreams:
        raise SettingsError(f"{path}.upstreams must have at least one upstream; write [[{path}.upstreams]]")
    check_distinct((upstream.name for upstream in policy.upstreams), f"{path}.upstreams")


def check_distinct(names: Iterable[str], path: str) -> None:
    """Names that differ only by case or in - . _ could not be told apart in environment variables."""
    seen: dict[str, str] = {}
    for name in names:
        form = environment_form(name)
        if seen.get(form) == name:
            raise SettingsError(f"{path}: the name {name} is used twice; rename one")
        if form in seen:
            raise SettingsError(f"{path}: {seen[form]} and {name} are both {form} in environment variables; rename one")
        seen[form] = name


def environment_form(name: str) -> str:
    return name.upper().replace("-", "_").replace(".", "_")
