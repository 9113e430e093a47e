"""Chat completions: the request as OpenAI reads it, the answer as OpenAI writes it."""

import msgspec

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.content import MAX_ANSWER_TOKENS, Message, count_content_tokens, write_text

ANSWER_TOKENS_IF_NONE_ASKED = 16


class ChatBody(msgspec.Struct):
    model: str | None = None
    messages: list[Message] | None = None
    stream: bool | None = None
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

    @property
    def tokens_out(self) -> int:
        return self.choices * self.tokens_per_choice

    @property
    def max_out(self) -> int | None:
        return self.tokens_out if self.cut_short else None

    def encode_answer(self, serial: str, created: int) -> bytes:
        text = write_text(self.tokens_per_choice)
        message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        end = "length" if self.cut_short else "stop"
        return msgspec.json.encode(
            {
                "id": f"chatcmpl-{serial}",
                "object": "chat.completion",
                "created": created,
                "model": self.model,
                "choices": [
                    {"index": index, "message": message, "logprobs": None, "finish_reason": end}
                    for index in range(self.choices)
                ],
                "usage": {
                    "prompt_tokens": self.tokens_in,
                    "completion_tokens": self.tokens_out,
                    "total_tokens": self.tokens_in + self.tokens_out,
                },
                "service_tier": "default",
                "system_fingerprint": "fp_simulated",
            }
        )


def read_chat(body: ChatBody, deployment: str | None = None) -> ChatCall:
    """Raises ApiError for a body that OpenAI would refuse, and for what is not simulated."""
    model = deployment or body.model
    if not model:
        raise errors.missing_model()
    if not body.messages:
        raise errors.missing_parameter("messages")
    if body.stream:
        raise errors.unsupported_value("stream", "answers are not streamed here, leave it out")
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
    )
