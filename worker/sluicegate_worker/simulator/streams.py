"""A streamed answer as server-sent events: what opens it, one for each token, and what closes it. Pure."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

CONTENT_TYPE = "text/event-stream; charset=utf-8"
FIRST_TOKEN_SHARE = 0.25  # of the service time; most of it is spent on writing the rest


class Stream(NamedTuple):
    """The events of one answer, ready to be sent."""

    opening: bytes
    tokens: Iterator[bytes]
    closing: bytes


class Pace(NamedTuple):
    """When the tokens of an answer are due, in seconds since the arrival of its call."""

    service_s: float
    tokens: int

    def due_s(self, number: int) -> float:
        """Of the first token (number 0) to the last, which is due at the end of the service time."""
        first_s = self.service_s * FIRST_TOKEN_SHARE
        return first_s + (self.service_s - first_s) * number / max(1, self.tokens - 1)

    def count_due(self, now_s: float, since: int, upto: int) -> int:
        """How many of the tokens from `since` to before `upto` are due by now."""
        number = since
        while number < upto and self.due_s(number) <= now_s:
            number += 1
        return number - since


def encode_data(document: Mapping[str, object]) -> bytes:
    """As OpenAI writes an event: without a name."""
    return b"data: %b\n\n" % msgspec.json.encode(document)


def encode_event(name: str, **more: object) -> bytes:
    """As Anthropic writes an event: its name stands before it, and in it as its type."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode({"type": name, **more}))
