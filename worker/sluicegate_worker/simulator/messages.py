"""Messages: the request as Anthropic reads it, the answer as Anthropic writes it."""

import msgspec

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.content import (
    MAX_ANSWER_TOKENS,
    Content,
    Message,
    count_content_tokens,
    write_text,
    write_tokens,
)
from sluicegate_worker.simulator.streams import Stream, encode_event

STOP_REASON = "max_tokens"
TOKENS_OUT_AT_THE_START = 1  # what Anthropic says before it knows how many there will be


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
    streamed: bool

    @property
    def max_out(self) -> int | None:
        return self.tokens_out

    def encode_answer(self, serial: str, created: int) -> bytes:  # noqa: ARG002 - Anthropic says no time
        content = [{"type": "text", "text": write_text(self.tokens_out)}]
        return msgspec.json.encode(self._message(serial, content, STOP_REASON, self.tokens_out))

    def encode_stream(self, serial: str, created: int) -> Stream | None:  # noqa: ARG002 - Anthropic says no time
        """None where it was not asked for."""
        if not self.streamed:
            return None
        message = self._message(serial, content=[], stop_reason=None, tokens_out=TOKENS_OUT_AT_THE_START)
        opening = (
            encode_event("message_start", message=message),
            encode_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            encode_event("ping"),
        )
        end = {"stop_reason": STOP_REASON, "stop_sequence": None}
        closing = (
            encode_event("content_block_stop", index=0),
            encode_event("message_delta", delta=end, usage={"output_tokens": self.tokens_out}),
            encode_event("message_stop"),
        )
        tokens = (
            encode_event("content_block_delta", index=0, delta={"type": "text_delta", "text": token})
            for token in write_tokens(self.tokens_out)
        )
        return Stream(b"".join(opening), tokens, b"".join(closing))

    def _message(
        self, serial: str, content: list[dict[str, str]], stop_reason: str | None, tokens_out: int
    ) -> dict[str, object]:
        return {
            "id": f"msg_{serial}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self.tokens_in,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": tokens_out,
            },
        }


def read_messages(body: MessagesBody) -> MessagesCall:
    """Raises ApiError for a body that Anthropic would refuse."""
    if not body.model:
        raise errors.missing_parameter("model")
    if not body.messages:
        raise errors.missing_parameter("messages")
    if body.max_tokens is None:
        raise errors.missing_parameter("max_tokens")
    if not 1 <= body.max_tokens <= MAX_ANSWER_TOKENS:
        raise errors.unsupported_value("max_tokens", f"it must be from 1 to {MAX_ANSWER_TOKENS}")
    contents = [body.system, *(message.content for message in body.messages)]
    return MessagesCall(
        model=body.model,
        tokens_in=sum(count_content_tokens(content) for content in contents),
        tokens_out=body.max_tokens,
        streamed=bool(body.stream),
    )
