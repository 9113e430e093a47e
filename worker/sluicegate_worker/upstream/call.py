"""One call to an upstream, and what can come of it: an answer, or a failure without one."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Literal, Protocol

from msgspec import Struct


class Call(Struct, frozen=True):
    """What is sent. `headers` are lower case and complete but for the credentials, which only the upstream knows.

    `timeout_s` is for all of it; `silence_s` is how long nothing may come meanwhile, where that is less.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    timeout_s: float
    silence_s: float = inf


class Answer(Struct, frozen=True):
    """What came back, whatever its status; `headers` are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def read_headers(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """As an answer has them. A header may hold bytes that are no UTF-8, and an answer is not lost for it."""
    return {_to_text(name).lower(): _to_text(value) for name, value in found}


def _to_text(found: str) -> str:
    return found.encode("utf-8", "replace").decode("utf-8")


class CallFailed(Exception):
    """No whole answer came. `kind` says how: what the provider did with the request is unknown."""

    def __init__(self, kind: Literal["timeout", "connection", "too_large", "handler", "bug"], error: str) -> None:
        super().__init__(error)
        self.kind = kind
        self.error = error


class Listener(Protocol):
    """Who hears a good answer while it comes: its head, then its body piece by piece."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None: ...

    def feed(self, piece: bytes) -> None: ...


class Caller(Protocol):
    """What can be called: an HTTP API or a Python coroutine. `call` raises CallFailed and nothing else."""

    async def call(self, call: Call, listener: Listener | None = None) -> Answer: ...

    async def close(self) -> None: ...
