"""What travels: the head of a request, the outcome of a request, and the answers of the enqueue script.

A reply in Redis is one line of JSON (`ReplyHead`), a line end, and the provider's body as it came: nobody in between
has
to decode a body, and a person can read the head. `v` is the form's version; readers ignore fields that they do not
know.
"""

from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from sluicegate.errors import DeadlineExceeded, RequestCancelled, RequestDead, StoreUnavailable, UnknownRequest

Priority = Literal["interactive", "batch"]
OnUnknown = Literal["retry", "dead"]

REQUEST_HEADERS = frozenset(
    {"accept", "anthropic-version", "anthropic-beta", "openai-beta", "traceparent", "tracestate"}
)


class RequestHead(Struct, omit_defaults=True):
    """What the dispatcher must know to send the body. Headers are lower case and all of `REQUEST_HEADERS`."""

    method: str
    path: str
    model: str | None = None
    headers: dict[str, str] = {}
    tokens: int | None = None
    stream_to: str | None = None  # the producer whose inbox gets the answer while it comes
    v: int = 1


class StreamHead(Struct):
    """What precedes the first piece of a streamed answer, as a line of JSON."""

    status: int
    headers: dict[str, str]


class ReplyHead(Struct, omit_defaults=True):
    """How a request ended. `state` is ok, dead, expired or cancelled; times are seconds."""

    state: str
    agent: str
    digest: str
    attempts: int = 0
    queued_s: float = 0.0
    upstream_s: float = 0.0
    upstream: str | None = None
    status: int | None = None
    headers: dict[str, str] = {}
    usage: dict[str, Any] | None = None
    reason: str | None = None
    error: str | None = None
    v: int = 1


class Reply(Struct, frozen=True):
    """The provider's final answer, whatever its status.

    `attempts` counts the calls made, the answered one included; `queued_s` is from acceptance to the sending of that
    call,
    earlier calls and their delays included; `upstream_s` is how long that call took.
    """

    id: str
    status: int
    headers: dict[str, str]
    body: bytes
    agent: str
    upstream: str
    attempts: int
    queued_s: float
    upstream_s: float
    usage: dict[str, Any] | None

    def json(self) -> Any:
        """The body, decoded. Raises msgspec.DecodeError where the provider did not answer JSON."""
        return msgspec.json.decode(self.body)


class Submission(NamedTuple):
    """One row of the enqueue script, in the order of its header."""

    id: str
    agent: str
    lane: str
    key: str
    digest: str
    head: bytes
    body: bytes
    deadline_us: int
    not_before_us: int
    on_unknown: str
    model: str
    tokens_in: int
    tokens_out: int


_encode_head = msgspec.json.Encoder().encode
_decode_head = msgspec.json.Decoder(ReplyHead).decode


def encode_reply(head: ReplyHead, body: bytes = b"") -> bytes:
    return _encode_head(head) + b"\n" + body


def split_reply(blob: bytes) -> tuple[ReplyHead, bytes]:
    """Raises StoreUnavailable where the stored value is not a reply: somebody else writes to our keys."""
    head, _, body = blob.partition(b"\n")
    try:
        return _decode_head(head), body
    except (ValueError, RecursionError) as error:
        raise StoreUnavailable(
            f"a stored reply cannot be read ({error}); does another programme write to these keys?"
        ) from error


def open_reply(request_id: str, blob: bytes | None) -> Reply:
    """The reply, or the error that the outcome is: DeadlineExceeded, RequestCancelled or RequestDead; UnknownRequest
    for None."""
    if blob is None:
        raise UnknownRequest(f"request {request_id} has ended and its reply is no longer kept")
    head, body = split_reply(blob)
    if head.state == "expired":
        last = f"; its last call: {head.error}" if head.error else ""
        raise DeadlineExceeded(
            f"request {request_id} was not answered before its deadline, "
            f"{head.queued_s:.1f} s after it was accepted{last}"
        )
    if head.state == "cancelled":
        raise RequestCancelled(f"request {request_id} was cancelled")
    if head.state == "dead":
        raise RequestDead(
            f"request {request_id} is dead ({head.reason}) after {head.attempts} calls: {head.error or 'no detail'}",
            head.reason or "upstream_error",
            head.status,
            head.error,
        )
    return Reply(
        id=request_id,
        status=head.status or 0,
        headers=head.headers,
        body=body,
        agent=head.agent,
        upstream=head.upstream or "",
        attempts=head.attempts,
        queued_s=head.queued_s,
        upstream_s=head.upstream_s,
        usage=head.usage,
    )
