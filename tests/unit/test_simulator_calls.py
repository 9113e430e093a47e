"""The simulator reads what each provider reads, answers in its shapes, and counts words as tokens."""

import base64
import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.simulator import tokens
from sluicegate_worker.simulator.calls import ANTHROPIC_PATHS, AZURE_PATHS, OPENAI_PATHS, Paths, decode_call, is_call
from sluicegate_worker.simulator.errors import ApiError
from sluicegate_worker.simulator.tokens import count_tokens

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
MESSAGES = "/v1/messages"


def answer(path: str, body: Mapping[str, object], paths: Paths = OPENAI_PATHS) -> Any:
    return json.loads(decode_call(paths, path, json.dumps(body).encode()).encode_answer("17", 1_800_000_000))


def chat(**more: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": "one two three"}], **more}


def test_a_chat_answer_has_openais_shape() -> None:
    given_back = answer(CHAT, chat())
    text = given_back["choices"][0]["message"].pop("content")
    assert len(text.split()) == 16
    assert given_back == {
        "id": "chatcmpl-17",
        "object": "chat.completion",
        "created": 1_800_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 16, "total_tokens": 19},
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_as_long_as_asked(name: str) -> None:
    given_back = answer(CHAT, chat(**{name: 40, "n": 2}))
    assert [len(choice["message"]["content"].split()) for choice in given_back["choices"]] == [40, 40]
    assert given_back["choices"][1]["finish_reason"] == "length"
    assert given_back["usage"] == {"prompt_tokens": 3, "completion_tokens": 80, "total_tokens": 83}


def test_the_same_request_gets_the_same_answer() -> None:
    assert answer(CHAT, chat()) == answer("/chat/completions", chat())
    assert answer(EMBEDDINGS, {"model": "m", "input": "x"}) == answer("/embeddings", {"model": "m", "input": "x"})


def test_all_kinds_of_messages_are_counted() -> None:
    messages = [
        {"role": "system", "content": "a b"},
        {"role": "user", "content": [{"type": "text", "text": "c d e"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    assert answer(CHAT, chat(messages=messages))["usage"]["prompt_tokens"] == 5


def test_embeddings_have_openais_shape_and_length_one() -> None:
    given_back = answer(EMBEDDINGS, {"model": "m", "input": ["a b", "c"], "dimensions": 8})
    vectors = [item.pop("embedding") for item in given_back["data"]]
    assert given_back == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0}, {"object": "embedding", "index": 1}],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    assert [len(vector) for vector in vectors] == [8, 8]
    assert vectors[0] != vectors[1]
    assert math.hypot(*vectors[0]) == pytest.approx(1)


def test_base64_holds_the_same_numbers() -> None:
    body = {"model": "m", "input": "a b"}
    floats = answer(EMBEDDINGS, body)["data"][0]["embedding"]
    packed = base64.b64decode(answer(EMBEDDINGS, body | {"encoding_format": "base64"})["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(floats)}f", packed)) == pytest.approx(floats, rel=1e-6)


@pytest.mark.parametrize(
    ("given_input", "texts", "count"), [("a b", 1, 2), (["a", "b c"], 2, 3), ([5, 6, 7], 1, 3), ([[5], [6, 7]], 2, 3)]
)
def test_every_form_of_input_is_read(given_input: object, texts: int, count: int) -> None:
    given_back = answer(EMBEDDINGS, {"model": "m", "input": given_input})
    assert (len(given_back["data"]), given_back["usage"]["prompt_tokens"]) == (texts, count)


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        (CHAT, b"", None, None),
        (CHAT, b"{", None, None),
        (CHAT, b'{"model":"\xff"}', None, None),
        (CHAT, b"[" * 100_000, None, "invalid_type"),
        (CHAT, b'{"messages":' + b"[" * 100_000, None, "invalid_type"),
        (CHAT, b"[]", None, "invalid_type"),
        (CHAT, b'{"messages":[{"content":"x"}]}', None, None),
        (CHAT, b'{"model":"m"}', "messages", "missing_required_parameter"),
        (CHAT, b'{"model":"m","messages":[]}', "messages", "missing_required_parameter"),
        (CHAT, b'{"model":"m","messages":"hi"}', None, "invalid_type"),
        (CHAT, b'{"model":7,"messages":[]}', None, "invalid_type"),
        (CHAT, json.dumps(chat(stream="yes")).encode(), None, "invalid_type"),
        (CHAT, json.dumps(chat(stream=True, stream_options={"include_usage": 1})).encode(), None, "invalid_type"),
        (CHAT, json.dumps(chat(max_tokens=0)).encode(), "max_tokens", "unsupported_value"),
        (CHAT, json.dumps(chat(max_tokens=10**9)).encode(), "max_tokens", "unsupported_value"),
        (CHAT, json.dumps(chat(n=10**9)).encode(), "max_tokens", "unsupported_value"),
        (CHAT, json.dumps(chat(n=0)).encode(), "n", "unsupported_value"),
        (EMBEDDINGS, b'{"input":"x"}', None, None),
        (EMBEDDINGS, b'{"model":"m"}', "input", "missing_required_parameter"),
        (EMBEDDINGS, b'{"model":"m","input":[]}', "input", "missing_required_parameter"),
        (EMBEDDINGS, b'{"model":"m","input":["a",1]}', None, "invalid_type"),
        (EMBEDDINGS, b'{"model":"m","input":"a","dimensions":0}', "dimensions", "unsupported_value"),
        (EMBEDDINGS, b'{"model":"m","input":"a","encoding_format":"hex"}', None, "invalid_type"),
    ],
)
def test_a_bad_body_gets_openais_error(path: str, body: bytes, param: str | None, code: str | None) -> None:
    with pytest.raises(ApiError) as raised:
        decode_call(OPENAI_PATHS, path, body)
    error = json.loads(raised.value.encode_as_openai())["error"]
    assert raised.value.status == 400
    assert error.pop("message")
    assert error == {"type": "invalid_request_error", "param": param, "code": code}


@pytest.mark.parametrize(("more", "max_out"), [({}, None), ({"max_tokens": 40, "n": 2}, 80)])
def test_what_is_reserved_is_what_was_asked_for(more: dict[str, object], max_out: int | None) -> None:
    assert decode_call(OPENAI_PATHS, CHAT, json.dumps(chat(**more)).encode()).max_out == max_out


def test_a_deployment_of_azure_names_the_model_itself() -> None:
    path = "/openai/deployments/gpt%2Dx/chat/completions"
    assert answer(path, {"messages": [{"content": "hi"}]}, AZURE_PATHS)["model"] == "gpt%2Dx"
    assert answer("/openai/deployments/e/embeddings", {"input": "hi", "model": "other"}, AZURE_PATHS)["model"] == "e"
    assert answer(CHAT, chat(), AZURE_PATHS)["model"] == "m"


@pytest.mark.parametrize(
    ("paths", "path", "known"),
    [
        (OPENAI_PATHS, CHAT, True),
        (OPENAI_PATHS, "/chat/completions", True),
        (OPENAI_PATHS, MESSAGES, False),
        (OPENAI_PATHS, "/openai/deployments/d/chat/completions", False),
        (AZURE_PATHS, "/openai/deployments/d/chat/completions", True),
        (AZURE_PATHS, "/openai/deployments//chat/completions", False),
        (AZURE_PATHS, "/openai/deployments/d/messages", False),
        (AZURE_PATHS, "/embeddings", True),
        (ANTHROPIC_PATHS, MESSAGES, True),
        (ANTHROPIC_PATHS, "/messages", True),
        (ANTHROPIC_PATHS, CHAT, False),
    ],
)
def test_each_provider_has_its_paths(paths: Paths, path: str, known: bool) -> None:
    assert is_call(paths, "POST", path) == known
    assert not is_call(paths, "GET", path)


def messages(**more: object) -> dict[str, object]:
    return {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "one two three"}], **more}


def test_a_message_has_anthropics_shape() -> None:
    assert answer(MESSAGES, messages(), ANTHROPIC_PATHS) == {
        "id": "msg_17",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "the gate opens a little"}],
        "stop_reason": "max_tokens",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 5,
        },
    }


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({"system": "be brief"}, 5),
        ({"system": [{"type": "text", "text": "be very brief", "cache_control": {"type": "ephemeral"}}]}, 6),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a b"}, {"type": "image"}]}]}, 2),
    ],
)
def test_system_and_blocks_are_input(more: dict[str, object], count: int) -> None:
    assert answer(MESSAGES, messages(**more), ANTHROPIC_PATHS)["usage"]["input_tokens"] == count


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"model": None}, "'model'"),
        ({"messages": []}, "'messages'"),
        ({"max_tokens": None}, "'max_tokens'"),
        ({"max_tokens": 0}, "'max_tokens'"),
        ({"max_tokens": 10**9}, "'max_tokens'"),
        ({"stream": "yes"}, "$.stream"),
        ({"system": 7}, "$.system"),
    ],
)
def test_a_bad_message_gets_anthropics_error(body: dict[str, object], named: str) -> None:
    with pytest.raises(ApiError) as raised:
        decode_call(ANTHROPIC_PATHS, MESSAGES, json.dumps(messages(**body)).encode())
    error = json.loads(raised.value.encode_as_anthropic())
    assert named in error["error"].pop("message")
    assert error == {"type": "error", "error": {"type": "invalid_request_error"}}


def test_as_many_words_are_as_many_tokens() -> None:
    assert count_tokens(" ".join(["word"] * 4_808)) == 4_808
    assert count_tokens("") == 0


@given(st.text(st.sampled_from("ab \n\u3000"), max_size=40), st.integers(1, 7))
def test_cutting_into_chunks_changes_no_count(text: str, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "CHUNK_CHARACTERS", chunk)
        assert count_tokens(text) == len(text.split())
