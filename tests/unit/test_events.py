"""Usage and text of streamed answers, as each provider words its events."""

import pytest

from sluicegate_worker.upstream.events import count_streamed_tokens, read_streamed_usage


def write(*events: str) -> bytes:
    return "".join(f"data: {event}\n\n" for event in events).encode()


CHAT = write(
    '{"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}',
    '{"choices":[{"delta":{"content":"12345678"}},{"delta":{"content":"abcd"}}],"usage":null}',
    '{"choices":[{"delta":{"tool_calls":[{"id":"call_1","function":{"name":"f","arguments":"{\\"a\\":1}"}}]}}]}',
    '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}',
    "[DONE]",
)
ANTHROPIC = (
    b'event: message_start\ndata: {"message":{"usage":{"input_tokens":25,"output_tokens":1}}}\n\n'
    b'event: content_block_delta\ndata: {"delta":{"type":"text_delta","text":"12345678"}}\n\n'
    b'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}\n\n'
)
RESPONSES = write(
    '{"type":"response.output_text.delta","delta":"12345678"}',
    '{"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":4}}}',
)
GEMINI = write(
    '{"usageMetadata":{"promptTokenCount":4}}', '{"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":9}}'
)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (CHAT, {"prompt_tokens": 3, "completion_tokens": 5}),
        (ANTHROPIC, {"input_tokens": 25, "output_tokens": 15}),
        (RESPONSES, {"input_tokens": 3, "output_tokens": 4}),
        (GEMINI, {"promptTokenCount": 4, "candidatesTokenCount": 9}),
        (CHAT.replace(b"\n", b"\r\n"), {"prompt_tokens": 3, "completion_tokens": 5}),
    ],
)
def test_the_usage_of_a_whole_stream(body: bytes, usage: dict[str, int]) -> None:
    assert read_streamed_usage(body) == usage


def test_what_has_come_of_a_stream_says_what_it_says() -> None:
    assert read_streamed_usage(ANTHROPIC[:110]) == {"input_tokens": 25, "output_tokens": 1}
    assert read_streamed_usage(CHAT[:-60]) is None


@pytest.mark.parametrize(
    ("body", "tokens"),
    [(CHAT, (8 + 4 + 7) / 4), (ANTHROPIC, (8 + len("end_turn")) / 4), (RESPONSES, 2), (GEMINI, 0), (b"", 0)],
)
def test_text_is_counted_by_its_length(body: bytes, tokens: float) -> None:
    assert count_streamed_tokens(body) == -(-tokens // 1)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe\x00", b"data: {", b'data: "usage"\n', b'data: {"usage":[1]}\n', b'data: {"choices":3,"delta":4}\n',
        b'data: {"usage":' + b"[" * 100_000, b'{"usage":{"prompt_tokens":1}}',
    ],
)  # fmt: skip
def test_what_makes_no_sense_says_nothing(body: bytes) -> None:
    assert read_streamed_usage(body) is None
    assert count_streamed_tokens(body) == 0
