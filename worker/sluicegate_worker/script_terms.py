"""What the scripts read of a policy, in their units, computed once when it is applied; pure."""

import math
import re
import string
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from sluicegate_worker.policy_settings import Policy, UpstreamPolicy
from sluicegate_worker.upstream.accounting import ACCOUNTING

TEXTS = ("upstreams", "weights")  # all other fields are numbers

_MICRO = 1_000_000
_MINUTE_US = 60 * _MICRO
_OF_NAMES = f"{string.ascii_letters}{string.digits}._-"
_NOTHING = "[^%w%W]"  # fits no character
Dimension = Literal["rpm", "tpm", "itpm", "otpm"]
TOKEN_DIMENSIONS: tuple[Dimension, ...] = ("tpm", "itpm", "otpm")


def script_fields(policy: Policy) -> Iterator[tuple[str, str | int | float]]:
    """Fields of the hash `config`, but for the policy itself and its version."""
    yield "max_backlog", policy.max_backlog
    yield "max_backlog_per_agent", policy.max_backlog_per_agent
    yield "max_backlog_bytes", policy.max_backlog_bytes
    yield "max_request_bytes", policy.max_request_bytes
    yield "deadline_us", _microseconds(policy.deadline_s)
    yield "reply_ttl_ms", math.ceil(policy.reply_ttl_s * 1000)
    yield "dead_ttl_ms", math.ceil(policy.dead_ttl_s * 1000)
    yield "lease_us", _microseconds(policy.lease_s)
    yield "horizon_us", _microseconds(policy.slot_horizon_s)
    yield "poison_after", policy.poison_after
    yield "batch_share", policy.batch_share
    yield "retry_share", policy.retry.share
    yield "max_in_flight_per_agent", policy.max_in_flight_per_agent or 0
    yield "agent_tokens", math.ceil(policy.max_tokens_per_agent or 0)
    yield "agent_window_us", _microseconds(policy.tokens_window_s)
    yield "breaker_failures", policy.breaker.failures
    yield "breaker_share", policy.breaker.share
    yield "breaker_open_us", _microseconds(policy.breaker.open_s)
    yield "breaker_cap_us", _microseconds(policy.breaker.cap_s)
    yield "price_us", pool_price_us(policy)
    for dimension in TOKEN_DIMENSIONS:
        yield f"{dimension}_price_us", _pool_token_price_us(policy, dimension)
    yield from _largest_requests(policy.upstreams)
    patterns = [[lua_pattern(pattern), weight] for pattern, weight in policy.weights.items()]
    yield "weights", msgspec.json.encode(patterns).decode()
    yield "upstreams", " ".join(upstream.name for upstream in policy.upstreams)
    for upstream in policy.upstreams:
        yield from _upstream_fields(upstream)


def _upstream_fields(upstream: UpstreamPolicy) -> Iterator[tuple[str, str | int | float]]:
    name, accounting = upstream.name, ACCOUNTING[upstream.provider]
    yield f"price_us:{name}", price_us(upstream)
    for dimension in TOKEN_DIMENSIONS:
        rate = paced_rate(upstream, dimension)
        if rate is not None:
            yield f"{dimension}_price_us:{name}", _MINUTE_US / rate
    yield f"max_in_flight:{name}", upstream.max_in_flight
    yield f"headroom:{name}", upstream.headroom
    yield f"burst_us:{name}", _microseconds(upstream.burst_s)
    for field in ("rpd", "tpd"):
        limit = getattr(upstream, field)
        if limit is not None:
            yield f"{field}:{name}", math.ceil(limit)
    yield f"reserves_max:{name}", int(accounting.reserves_max)
    yield f"counts_output:{name}", int(accounting.counts_output)


def paced_rate(upstream: UpstreamPolicy, dimension: Dimension) -> float | None:
    """The rate a minute at which the bucket leaks; None where nothing limits it."""
    limit: float | None = getattr(upstream, dimension)
    return None if limit is None else limit * (1 - upstream.headroom)


def price_us(upstream: UpstreamPolicy) -> int:
    """What a request costs this upstream: microseconds between two slots, rounded up so that the rate is never
    exceeded."""
    rate = paced_rate(upstream, "rpm")
    return 0 if rate is None else math.ceil(_MINUTE_US / rate)


def pool_price_us(policy: Policy) -> int:
    """What a request costs its agent: microseconds of the whole pool's capacity, whichever upstream answers it."""
    rate = _pool_rate(policy, "rpm")
    return 0 if rate is None else math.ceil(_MINUTE_US / rate)


def _pool_token_price_us(policy: Policy, dimension: Dimension) -> float:
    rate = _pool_rate(policy, dimension)
    return 0 if rate is None else _MINUTE_US / rate


def _pool_rate(policy: Policy, dimension: Dimension) -> float | None:
    """All upstreams together; one without a limit takes whatever comes."""
    rates = [paced_rate(upstream, dimension) for upstream in policy.upstreams]
    known = [rate for rate in rates if rate is not None]
    return sum(known) if len(known) == len(rates) else None


def _largest_requests(upstreams: Iterable[UpstreamPolicy]) -> Iterator[tuple[str, int]]:
    """How many tokens the largest request may take that some upstream admits at all: in and out, in, out; 0: any."""
    most: dict[str, list[float]] = {"max_tokens": [], "max_tokens_in": [], "max_tokens_out": []}
    for upstream in upstreams:
        accounting = ACCOUNTING[upstream.provider]
        total = min(upstream.tpm or math.inf, upstream.tpd or math.inf)
        both = accounting.counts_output and accounting.reserves_max
        most["max_tokens"].append(total if both else math.inf)
        most["max_tokens_in"].append(min(upstream.itpm or math.inf, total))
        most["max_tokens_out"].append(upstream.otpm or math.inf if accounting.reserves_max else math.inf)
    for name, limits in most.items():
        yield name, 0 if math.isinf(max(limits)) else math.ceil(max(limits))


def lua_pattern(pattern: str) -> str:
    """A shell pattern as Lua writes it: the two fit the same names of agents, if not the same texts."""
    parts = re.split(r"(\*|\?|\[!?\]?[^\]]*\])", pattern)  # what comes first between brackets closes nothing
    return "^" + "".join(_lua_part(part) for part in parts) + "$"


def _lua_part(part: str) -> str:
    if part in ("*", "?"):
        return ".*" if part == "*" else "."
    if len(part) > 1 and part.startswith("[") and part.endswith("]"):
        fitting = "".join(character for character in _OF_NAMES if fnmatchcase(character, part))
        return f"[{_escape(fitting)}]" if fitting else _NOTHING
    return _escape(part)


def _escape(text: str) -> str:
    return re.sub(r"([^A-Za-z0-9_])", r"%\1", text)


def _microseconds(seconds: float) -> int:
    return math.ceil(seconds * _MICRO)
