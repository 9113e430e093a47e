"""Chat completions: the request as OpenAI reads it, the answer as OpenAI writes it."""

from collections.abc import Iterator, Mapping

import msgspec

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.content import (
    MAX_ANSWER_TOKENS,
    Message,
    count_content_tokens,
    write_text,
    write_tokens,
)
from sluicegate_worker.simulator.streams import Stream, encode_data

ANSWER_TOKENS_IF_NONE_ASKED = 16
STREAM_END = b"data: [DONE]\n\n"


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatBody(msgspec.Struct):
    model: str | None = None
    messages: list[Message] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


class ChatCall(msgspec.Struct, frozen=True):
    """What of a request decides the answer."""

    model: str
    tokens_in: int
    choices: int
    tokens_per_choice: int
    cut_short: bool
    streamed: bool
    usage_streamed: bool

    @property
    def tokens_out(self) -> int:
        return self.choices * self.tokens_per_choice

    @property
    def max_out(self) -> int | None:
        return self.tokens_out if self.cut_short else None

    @property
    def finish_reason(self) -> str:
        return "length" if self.cut_short else "stop"

    @property
    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.tokens_in,
            "completion_tokens": self.tokens_out,
            "total_tokens": self.tokens_in + self.tokens_out,
        }

    def encode_answer(self, serial: str, created: int) -> bytes:
        text = write_text(self.tokens_per_choice)
        message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        return msgspec.json.encode(
            {
                "id": f"chatcmpl-{serial}",
                "object": "chat.completion",
                "created": created,
                "model": self.model,
                "choices": [
                    {"index": index, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
                    for index in range(self.choices)
                ],
                "usage": self.usage,
                "service_tier": "default",
                "system_fingerprint": "fp_simulated",
            }
        )

    def encode_stream(self, serial: str, created: int) -> Stream | None:
        """None where it was not asked for."""
        if not self.streamed:
            return None
        frame: dict[str, object] = {
            "id": f"chatcmpl-{serial}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        }
        usage: dict[str, object] = {"usage": None} if self.usage_streamed else {}
        closing = [*self._encode_round(frame | usage, {}, self.finish_reason)]
        if self.usage_streamed:
            closing.append(encode_data(frame | {"choices": [], "usage": self.usage}))
        return Stream(
            opening=b"".join(self._encode_round(frame | usage, {"role": "assistant", "content": ""})),
            tokens=(
                chunk
                for token in write_tokens(self.tokens_per_choice)
                for chunk in self._encode_round(frame | usage, {"content": token})
            ),
            closing=b"".join(closing) + STREAM_END,
        )

    # The same for each choice.
    def _encode_round(
        self, frame: Mapping[str, object], delta: Mapping[str, str], end: str | None = None
    ) -> Iterator[bytes]:
        for index in range(self.choices):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": end}
            yield encode_data({**frame, "choices": [choice]})


def read_chat(body: ChatBody, deployment: str | None = None) -> ChatCall:
    """Raises ApiError for a body that OpenAI would refuse."""
    model = deployment or body.model
    if not model:
        raise errors.missing_model()
    if not body.messages:
        raise errors.missing_parameter("messages")
    asked = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    choices = 1 if body.n is None else body.n
    tokens_per_choice = ANSWER_TOKENS_IF_NONE_ASKED if asked is None else asked
    if choices < 1:
        raise errors.unsupported_value("n", "it must be at least 1")
    if not 1 <= tokens_per_choice <= MAX_ANSWER_TOKENS // choices:
        name = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
        raise errors.unsupported_value(name, f"all choices together may have 1 to {MAX_ANSWER_TOKENS} tokens")
    return ChatCall(
        model=model,
        tokens_in=sum(count_content_tokens(message.content) for message in body.messages),
        choices=choices,
        tokens_per_choice=tokens_per_choice,
        cut_short=asked is not None,
        streamed=bool(body.stream),
        usage_streamed=body.stream_options is not None and bool(body.stream_options.include_usage),
    )
