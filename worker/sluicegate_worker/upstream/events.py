"""What a streamed answer says of tokens; pure. Server-sent events, as each provider words them."""

from collections.abc import Iterator
from typing import Any

import msgspec

_BYTES_PER_TOKEN = 4
_DATA = b"data:"
_NO_TEXT = frozenset({"role", "type", "id", "name"})

_decode = msgspec.json.Decoder().decode


def read_streamed_usage(body: bytes) -> dict[str, Any] | None:
    """What the provider says that the answer used, as it says it; None where it has not said so yet.

    OpenAI's chat says it in its last event, if it was asked to (`stream_options.include_usage`), its responses in
    `response.completed`, Gemini in every event; Anthropic says the input in the first event and the output in the last
    but one.
    """
    usage: dict[str, Any] = {}
    for event in _read_events(body, b'"usage'):
        for holder in (event, event.get("message"), event.get("response")):
            if isinstance(holder, dict):
                for found in (holder.get("usage"), holder.get("usageMetadata")):
                    usage |= found if isinstance(found, dict) else {}
    return usage or None


def count_streamed_tokens(body: bytes) -> int:
    """Tokens of the text that was streamed, guessed by its length, whatever part of the answer it is of."""
    text_bytes = 0
    for event in _read_events(body, b'"'):
        deltas = [event.get("delta")]
        choices = event.get("choices")
        deltas += (
            [choice.get("delta") for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
        )
        text_bytes += sum(map(_count_text, deltas))
    return -(-text_bytes // _BYTES_PER_TOKEN)


def _read_events(body: bytes, having: bytes) -> Iterator[dict[str, Any]]:
    """Of the events' data, the JSON objects; a line that has broken off is none."""
    for line in body.splitlines():
        if line.startswith(_DATA) and having in line:
            try:
                event = _decode(line[len(_DATA) :])
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event


def _count_text(delta: Any) -> int:
    """Bytes of the texts in it; not by recursion, for the decoder goes as deep as the stack allows."""
    text_bytes, todo = 0, [delta]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            text_bytes += len(node.encode("utf-8", "replace"))
        elif isinstance(node, dict):
            todo += [value for name, value in node.items() if name not in _NO_TEXT]
            # A tool's name is text that was paid for, but never much of it.
        elif isinstance(node, list):
            todo += node
    return text_bytes
