"""From a caller's arguments to one row for the enqueue script; pure, and refuses everything that could never be
answered."""

import hashlib
import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, TypedDict

import msgspec
from msgspec import Struct

from sluicegate.errors import InvalidRequest
from sluicegate.estimate import Peek
from sluicegate.keys import LANES
from sluicegate.names import check_idempotency_key, check_name, new_id
from sluicegate.paths import resolve_path
from sluicegate.tracing import read_trace
from sluicegate.wire import REQUEST_HEADERS, OnUnknown, Priority, RequestHead, Submission

DEADLINE_S_MAX = 30 * 86_400
_HEADER_CHARACTERS_MAX = 2048
_MODEL_CHARACTERS_MAX = 256


class Options(TypedDict, total=False):
    """What may be said with a request besides its path and body; all of it may be left out."""

    method: str  # POST
    headers: Mapping[str, str] | None  # passed on by an allow-list; credentials never are
    agent: str | None  # who asks, else the producer's agent
    priority: Priority  # interactive, or batch for what may take what the others leave
    key: str | None  # idempotency key: within the agent, the same key with the same body is the same request
    id: str | None  # makes submitting again safe
    deadline: float | None  # seconds from now, else the pool's
    not_before: float | None  # seconds from now
    on_unknown: OnUnknown  # after a crash in mid-call: "retry" may pay twice, "dead" leaves it to you
    tokens: int | None  # the caller's own estimate


class Order(Struct, frozen=True, kw_only=True):
    """What a caller asks for, as it asked."""

    path: str
    body: Any
    method: str = "POST"
    headers: Mapping[str, str] | None = None
    agent: str | None = None
    priority: str = "interactive"
    key: str | None = None
    id: str | None = None
    deadline: float | None = None
    not_before: float | None = None
    on_unknown: str = "retry"
    tokens: int | None = None


class UpstreamTerms(Struct, frozen=True):
    """What a producer must know of an upstream: which paths it has."""

    provider: str


class PoolTerms(Struct, frozen=True):
    """What a producer must know of a pool's policy; the rest of it is ignored."""

    models: tuple[str, ...]
    max_request_bytes: int
    deadline_s: float
    upstreams: list[UpstreamTerms]

    def takes(self, model: str | None) -> bool:
        return model is None or takes_model(self.models, model)


_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=1024)  # agents ask for the same few, over and over
def takes_model(patterns: tuple[str, ...], model: str) -> bool:
    return any(fnmatchcase(model, pattern) for pattern in patterns)


def encode_body(body: Any) -> bytes:
    """The body as JSON bytes. Raises InvalidRequest; bytes are taken as they are and only looked at."""
    if body is None:
        return b""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    try:
        return _encode(body)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidRequest(f"the body cannot be written as JSON: {error}") from error


def prepare(
    order: Order, body: bytes, peek: Peek, agent: str | None, terms: PoolTerms, stream_to: str | None = None
) -> Submission:
    """Checks the order against the pool's terms. Raises InvalidRequest with the cure; the server checks what may have
    changed. `stream_to`: the producer that gets the answer while it comes."""
    chosen = agent if order.agent is None else order.agent
    if chosen is None:
        raise InvalidRequest("name the agent: AsyncProducer(agent=…), request(…, agent=…) or SLUICEGATE_AGENT")
    if order.priority not in LANES:
        raise InvalidRequest(f"priority must be interactive or batch, not {order.priority!r:.50}")
    if order.on_unknown not in ("retry", "dead"):
        raise InvalidRequest(f"on_unknown must be retry or dead, not {order.on_unknown!r:.50}")
    method = _method(order.method)
    path = resolve_path(method, order.path, tuple([upstream.provider for upstream in terms.upstreams]))
    if not body and method not in ("GET", "DELETE"):
        raise InvalidRequest(f"{method} needs a body: an object, or bytes that are JSON")
    if len(body) > terms.max_request_bytes:
        raise InvalidRequest(
            f"the body has {len(body)} bytes; the pool takes at most {terms.max_request_bytes} (max_request_bytes)"
        )
    tokens = _tokens(order.tokens)
    tokens_in, tokens_out = _split_tokens(tokens, peek)
    head = RequestHead(
        method=method,
        path=path,
        model=peek.model,
        headers=_headers(order.headers),
        tokens=tokens_in + max(0, tokens_out) if tokens is None else tokens,
        stream_to=stream_to,
    )
    digest = hashlib.sha256(b"\n".join((method.encode(), path.encode(), body))).hexdigest()[:32]
    return Submission(
        check_name("id", order.id) if order.id is not None else new_id(),
        check_name("agent", chosen),
        order.priority,
        check_idempotency_key(order.key) if order.key is not None else "",
        digest,
        _encode(head),
        body,
        _microseconds("deadline", order.deadline, low_s=0.001),
        _microseconds("not_before", order.not_before, low_s=0.0),
        order.on_unknown,
        (peek.model or "")[:_MODEL_CHARACTERS_MAX],
        tokens_in,
        tokens_out,
    )


def _method(method: str) -> str:
    upper = method.upper() if isinstance(method, str) else ""
    if upper not in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        raise InvalidRequest(f"method must be GET, POST, PUT, PATCH or DELETE, not {method!r:.50}")
    return upper


def _microseconds(what: str, seconds: float | None, low_s: float) -> int:
    if seconds is None:
        return 0
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
        raise InvalidRequest(f"{what} is a number of seconds from now, not {seconds!r:.50}")
    if not low_s <= seconds <= DEADLINE_S_MAX:
        raise InvalidRequest(
            f"{what} is in seconds from now and must lie between {low_s:g} and {DEADLINE_S_MAX:_}, not {seconds!r:.50}"
        )
    return int(seconds * 1_000_000)


def _headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Only what the allow-list names goes on; the caller's credentials and cookies never leave its process. Where it
    names no trace, that of its current span goes along."""
    if headers is None:
        return read_trace()
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        raise InvalidRequest(f"headers must be a mapping of text to text, not {headers!r:.50}")
    passed = {name.lower(): value for name, value in headers.items() if name.lower() in REQUEST_HEADERS}
    for name, value in passed.items():
        if (
            not isinstance(value, str)
            or len(value) > _HEADER_CHARACTERS_MAX
            or not value.isascii()
            or not value.isprintable()
        ):
            raise InvalidRequest(
                f"header {name} must be printable ASCII of at most {_HEADER_CHARACTERS_MAX} characters"
            )
    return passed if "traceparent" in passed else {**passed, **read_trace()}


def _split_tokens(tokens: int | None, peek: Peek) -> tuple[int, int]:
    """Input, and the most that the answer may have, -1 where nobody says; the caller's own total goes before ours."""
    if tokens is None:
        return peek.tokens_in, -1 if peek.tokens_out is None else peek.tokens_out
    tokens_in = min(tokens, peek.tokens_in) if peek.tokens_out is None else max(0, tokens - peek.tokens_out)
    return tokens_in, tokens - tokens_in


def _tokens(tokens: int | None) -> int | None:
    if tokens is not None and (
        isinstance(tokens, bool) or not isinstance(tokens, int) or not 0 <= tokens <= 1_000_000_000
    ):
        raise InvalidRequest(f"tokens must be a whole number from 0, not {tokens!r:.50}")
    return tokens
