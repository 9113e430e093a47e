"""Messages: the request as Anthropic reads it, the answer as Anthropic writes it."""

import msgspec

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.content import (
    MAX_ANSWER_TOKENS,
    Content,
    Message,
    count_content_tokens,
    write_text,
)


class MessagesBody(msgspec.Struct):
    model: str | None = None
    system: Content = None
    messages: list[Message] | None = None
    stream: bool | None = None
    max_tokens: int | None = None


class MessagesCall(msgspec.Struct, frozen=True):
    """What of a request decides the answer."""

    model: str
    tokens_in: int
    tokens_out: int

    @property
    def max_out(self) -> int | None:
        return self.tokens_out

    def encode_answer(self, serial: str, created: int) -> bytes:  # noqa: ARG002 - Anthropic says no time
        return msgspec.json.encode(
            {
                "id": f"msg_{serial}",
                "type": "message",
                "role": "assistant",
                "model": self.model,
                "content": [{"type": "text", "text": write_text(self.tokens_out)}],
                "stop_reason": "max_tokens",
                "stop_sequence": None,
                "usage": {
                    "input_tokens": self.tokens_in,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": self.tokens_out,
                },
            }
        )


def read_messages(body: MessagesBody) -> MessagesCall:
    """Raises ApiError for a body that Anthropic would refuse, and for what is not simulated."""
    if not body.model:
        raise errors.missing_parameter("model")
    if not body.messages:
        raise errors.missing_parameter("messages")
    if body.max_tokens is None:
        raise errors.missing_parameter("max_tokens")
    if body.stream:
        raise errors.unsupported_value("stream", "answers are not streamed here, leave it out")
    if not 1 <= body.max_tokens <= MAX_ANSWER_TOKENS:
        raise errors.unsupported_value("max_tokens", f"it must be from 1 to {MAX_ANSWER_TOKENS}")
    contents = [body.system, *(message.content for message in body.messages)]
    return MessagesCall(
        model=body.model,
        tokens_in=sum(count_content_tokens(content) for content in contents),
        tokens_out=body.max_tokens,
    )
