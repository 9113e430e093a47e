"""What a FakeProducer is told to answer, checked when it is said: what can never come fails at once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field

from sluicegate.errors import (
    BacklogFull,
    DeadlineExceeded,
    InvalidRequest,
    RequestCancelled,
    RequestDead,
    SluicegateError,
    StoreUnavailable,
    WouldMissDeadline,
)
from sluicegate.submission import Options

REFUSALS = (InvalidRequest, BacklogFull, WouldMissDeadline, StoreUnavailable)
OUTCOMES: dict[type[SluicegateError], str] = {
    RequestCancelled: "cancelled",
    DeadlineExceeded: "expired",
    RequestDead: "dead",
}
_RETRIED = frozenset({401, 402, 403, 408, 425, 429})  # what behind the queue is tried again, or elsewhere


class FakeAnswer(Struct, frozen=True, kw_only=True):
    """`body` is an object, or bytes; it comes after `delay_s`, which may be more than the deadline."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if not (200 <= self.status < 300 or 400 <= self.status < 500) or self.status in _RETRIED:
            raise InvalidRequest(
                f"nobody gets a reply with status {self.status}: script RequestDead, BacklogFull or a delay_s instead"
            )
        self.encode()

    def encode(self) -> bytes:
        try:
            return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"the body cannot be written as JSON: {error}") from error


class FakeStream(Struct, frozen=True, kw_only=True):
    """`chunks` come one by one, the first after `delay_s`, each other `pause_s` after the one before. With `breaks_off`
    no end comes after them."""

    chunks: Sequence[bytes] = ()
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    delay_s: float = 0.0
    pause_s: float = 0.0
    breaks_off: bool = False

    def __post_init__(self) -> None:
        if not all(isinstance(chunk, bytes) for chunk in self.chunks):
            raise InvalidRequest("chunks are a list of bytes")


class Asked(NamedTuple):
    """A request as it came: `body` decoded, `options` as they were given."""

    id: str
    path: str
    body: Any
    agent: str
    options: Options


Step = FakeAnswer | FakeStream | SluicegateError
Rule = Callable[[Asked], Step]


def check_step(step: Any) -> Step:
    """Raises InvalidRequest for what cannot become of a request."""
    if isinstance(step, (FakeAnswer, FakeStream, *REFUSALS)) or type(step) in OUTCOMES:
        return step  # type: ignore[no-any-return]  # it was looked at
    cure = "use FakeStream(breaks_off=True)" if isinstance(step, SluicegateError) else "say FakeAnswer or FakeStream"
    raise InvalidRequest(f"{step!r:.100} cannot become of a request: {cure}, a refusal, or an outcome that is an error")
