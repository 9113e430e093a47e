"""The events of a stream are its provider's own, add up to the unstreamed answer, and are due at an even pace."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.simulator.calls import ANTHROPIC_PATHS, AZURE_PATHS, OPENAI_PATHS, Call, Paths, decode_call
from sluicegate_worker.simulator.streams import Pace, Stream

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
BODY: Mapping[str, object] = {"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": "one two"}]}


def read(path: str, paths: Paths, more: Mapping[str, object]) -> Call:
    return decode_call(paths, path, json.dumps({**BODY, "stream": True, **more}).encode())


def stream(call: Call) -> Stream:
    found = call.encode_stream("17", 1_800_000_000)
    assert found is not None
    return found


def chat_chunks(part: bytes) -> list[Any]:
    """Of some events, what stands after `data: `."""
    events = part.decode().split("\n\n")
    assert events.pop() == ""
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [text if text == "[DONE]" else json.loads(text) for text in (event[6:] for event in events)]


def message_events(part: bytes) -> list[Any]:
    """The documents of some events, whose names must be their types."""
    events = [event.split("\n") for event in part.decode().split("\n\n")]
    assert events.pop() == [""]
    documents = [json.loads(data.removeprefix("data: ")) for _, data in events]
    assert [name for name, _ in events] == [f"event: {document['type']}" for document in documents]
    return documents


def chunk(delta: Mapping[str, str], end: str | None = None, index: int = 0) -> dict[str, object]:
    return {
        "id": "chatcmpl-17",
        "object": "chat.completion.chunk",
        "created": 1_800_000_000,
        "model": "m",
        "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": end}],
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def test_chat_chunks_have_openais_shape() -> None:
    opening, tokens, closing = stream(read(CHAT, OPENAI_PATHS, {}))
    assert chat_chunks(opening) == [chunk({"role": "assistant", "content": ""})]
    assert [chat_chunks(token) for token in tokens] == [
        [chunk({"content": "the"})],
        [chunk({"content": " gate"})],
        [chunk({"content": " opens"})],
    ]
    assert chat_chunks(closing) == [chunk({}, "length"), "[DONE]"]


def test_where_usage_is_asked_for_it_comes_last_and_every_chunk_before_has_none_yet() -> None:
    opening, tokens, closing = stream(read(CHAT, OPENAI_PATHS, {"stream_options": {"include_usage": True}}))
    *chunks, last, done = chat_chunks(b"".join((opening, *tokens, closing)))
    assert len(chunks) == 5
    assert all("usage" in chunk and chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["object"], done) == ([], "chat.completion.chunk", "[DONE]")
    assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_obfuscation": True}])
def test_where_usage_is_not_asked_for_no_chunk_speaks_of_it(options: object) -> None:
    opening, tokens, closing = stream(read(CHAT, OPENAI_PATHS, {"stream_options": options}))
    assert b"usage" not in b"".join((opening, *tokens, closing))


def test_choices_take_turns_token_by_token() -> None:
    opening, tokens, closing = stream(read(CHAT, AZURE_PATHS, {"n": 2, "max_tokens": None, "stream_options": None}))
    first = {"role": "assistant", "content": ""}
    assert chat_chunks(opening) == [chunk(first), chunk(first, index=1)]
    sent = [chat_chunks(token) for token in tokens]
    assert len(sent) == 32
    assert sent[:3] == [
        [chunk({"content": "the"})],
        [chunk({"content": "the"}, index=1)],
        [chunk({"content": " gate"})],
    ]
    assert chat_chunks(closing) == [chunk({}, "stop"), chunk({}, "stop", index=1), "[DONE]"]


def test_message_events_have_anthropics_shape() -> None:
    opening, tokens, closing = stream(read(MESSAGES, ANTHROPIC_PATHS, {"max_tokens": 2}))
    assert message_events(opening) == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_17",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 2,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 1,
                },
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ]
    assert [message_events(token) for token in tokens] == [
        [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}]
        for text in ("the", " gate")
    ]
    assert message_events(closing) == [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ]


@pytest.mark.parametrize("tokens", [1, 2, 15, 40])
def test_the_tokens_add_up_to_the_unstreamed_text(tokens: int) -> None:
    chat = read(CHAT, OPENAI_PATHS, {"max_tokens": tokens})
    message = read(MESSAGES, ANTHROPIC_PATHS, {"max_tokens": tokens})
    [choice] = json.loads(chat.encode_answer("17", 0))["choices"]
    [block] = json.loads(message.encode_answer("17", 0))["content"]
    deltas = [chat_chunks(token)[0]["choices"][0]["delta"]["content"] for token in stream(chat).tokens]
    assert (len(deltas), "".join(deltas)) == (tokens, choice["message"]["content"])
    deltas = [message_events(token)[0]["delta"]["text"] for token in stream(message).tokens]
    assert (len(deltas), "".join(deltas)) == (tokens, block["text"])


@pytest.mark.parametrize("more", [{}, {"stream": None}, {"stream": False, "stream_options": {"include_usage": True}}])
def test_nothing_is_streamed_that_was_not_asked_for(more: Mapping[str, object]) -> None:
    body = json.dumps({**BODY, **more}).encode()
    assert decode_call(OPENAI_PATHS, CHAT, body).encode_stream("17", 0) is None
    assert decode_call(ANTHROPIC_PATHS, MESSAGES, body).encode_stream("17", 0) is None
    embeddings = json.dumps({"model": "m", "input": "x", "stream": True}).encode()
    assert decode_call(OPENAI_PATHS, "/v1/embeddings", embeddings).encode_stream("17", 0) is None


def test_the_first_token_comes_after_a_quarter_and_the_rest_evenly() -> None:
    pace = Pace(service_s=8.0, tokens=4)
    assert [pace.due_s(number) for number in range(4)] == [2.0, 4.0, 6.0, 8.0]
    assert Pace(service_s=8.0, tokens=1).due_s(0) == 2.0
    assert {Pace(service_s=0.0, tokens=4).due_s(number) for number in range(4)} == {0.0}


def test_those_are_due_whose_time_has_come() -> None:
    pace = Pace(service_s=8.0, tokens=4)
    assert [pace.count_due(now_s, 0, 4) for now_s in (1.9, 2.0, 5.0, 6.0, 8.0, 99.0)] == [0, 1, 2, 3, 4, 4]
    assert (pace.count_due(5.0, 1, 4), pace.count_due(99.0, 1, 3)) == (1, 2)


@given(st.floats(0, 3_600), st.integers(1, 200))
def test_no_token_is_due_before_another_or_after_the_service_time(service_s: float, tokens: int) -> None:
    pace = Pace(service_s, tokens)
    dues_s = [pace.due_s(number) for number in range(tokens)]
    assert dues_s == sorted(dues_s)
    assert dues_s[-1] <= service_s * (1 + 1e-9)
