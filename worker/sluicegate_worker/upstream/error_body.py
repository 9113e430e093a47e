"""The error in whatever body a provider sends: its codes, its message and Google's details; pure.

OpenAI and Anthropic write `{"error":{…}}`, Google the same or a list of it, AWS `{"__type":…}`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct


class ErrorBody(Struct, frozen=True):
    """`error` is empty where the body has none; `aws_type` is AWS's name for it."""

    error: Mapping[str, Any]
    aws_type: str = ""

    @property
    def codes(self) -> frozenset[str]:
        """What OpenAI and Anthropic call it, in general and in particular."""
        details = self.error.get("details")
        particular = details.get("error_code") if isinstance(details, dict) else None
        named = (self.error.get("code"), self.error.get("type"), particular)
        return frozenset(name for name in named if isinstance(name, str))

    @property
    def message(self) -> str:
        message = self.error.get("message")
        return message if isinstance(message, str) else ""

    def google_details(self, kind: str) -> list[dict[str, Any]]:
        """Of one kind, such as `google.rpc.RetryInfo`."""
        details = self.error.get("details")
        return [
            detail
            for detail in (details if isinstance(details, list) else ())
            if isinstance(detail, dict) and str(detail.get("@type")).endswith(kind)
        ]


class _Body(Struct):
    error: Any = None
    aws_type: Any = msgspec.field(default=None, name="__type")


_decode = msgspec.json.Decoder(_Body | list[Any]).decode


def read_error(body: bytes) -> ErrorBody:
    try:
        found = _decode(body)
    except (ValueError, RecursionError):
        return ErrorBody({})
    if isinstance(found, _Body):
        error, aws_type = found.error, found.aws_type
    else:
        first = found[0] if found and isinstance(found[0], dict) else {}
        error, aws_type = first.get("error"), None
    return ErrorBody(error if isinstance(error, dict) else {}, aws_type if isinstance(aws_type, str) else "")
