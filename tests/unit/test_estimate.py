"""What one look at a body tells: its model, about how much goes in, and how much may come out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.errors import InvalidRequest
from sluicegate.estimate import Peek, read_peek
from support.properties import PROPERTY

PNG = "data:image/png;base64," + "iVBORw0KGgo" * 1000
BASE64 = "iVBORw0KGgo+/" * 1000
PATHS = ("/chat/completions", "/v1/embeddings", "/messages/count_tokens?beta=1", "/models/g:embedContent", "", "?")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["data", "tools", "n", "max_tokens", "generationConfig", "maxOutputTokens"]) | st.text(),
            inner,
        )
    ),
    max_leaves=20,
)


def peek(body: Any, path: str = "/chat/completions") -> Peek:
    return read_peek(json.dumps(body, ensure_ascii=False).encode(), path)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 0),
        ({"input": "a"}, 1),
        ({"input": "abcd"}, 1),
        ({"input": "abcde"}, 2),
        ({"input": "ää"}, 1),
        ({"input": "日本語"}, 3),
        ({"messages": [{"role": "user", "content": "x" * 396}]}, 100),
        ({"messages": [{"content": [{"text": "x" * 40}, {"text": "y" * 40}]}]}, 20),
        ({"input": [1, 2, 3]}, 3),
        ({"input": [[1, 2, 3], [4, 5]]}, 5),
        ({"n": 1, "temperature": 0.5, "stop": None, "stream": False}, 0),
        ({"logit_bias": {"50256": -100}}, 0),
        ("x" * 8, 2),
        (["x" * 8, 7], 2),
        ([1, 2], 2),
        (None, 0),
    ],
)
def test_four_bytes_of_text_are_a_token_and_a_token_id_is_one(body: object, tokens: int) -> None:
    assert peek(body).tokens_in == tokens


def test_names_count_where_the_model_reads_them() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    names = len("type" + "properties" + "name" + "type")
    assert peek({"tools": [schema]}).tokens_in == -(-(names + len("object" + "string")) // 4)
    assert peek({"metadata": schema}).tokens_in == len("object" + "string") // 4


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"content": [{"image_url": {"url": PNG}}]}]},
        {"messages": [{"content": [{"source": {"data": BASE64}}]}]},
        {"contents": [{"parts": [{"inlineData": {"data": BASE64}}]}]},
        {"messages": [{"content": [{"image": {"source": {"bytes": BASE64}}}]}]},
        {"input": [{"content": [{"file_data": PNG}]}]},
        {"input": [{"b64_json": BASE64}]},
        {"tools": [{"data": "\r\n".join([BASE64] * 3)}]},
        {"input": PNG},
        [PNG],
    ],
)
def test_media_cost_the_same_whatever_their_size(body: object) -> None:
    assert 1000 <= peek(body).tokens_in <= 1001  # and the name of what is under `tools`


@pytest.mark.parametrize("text", ["data: " + "so it goes, " * 1000, "data:1,2,3," * 1000])
def test_text_that_speaks_of_data_is_text(text: str) -> None:
    assert peek({"input": text}).tokens_in == -(-len(text) // 4)


@pytest.mark.parametrize("text", ["A plain document. " * 1000, "日本語" * 1000])
def test_a_document_of_plain_text_is_text(text: str) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": text}
    assert peek({"source": source}).tokens_in == -(-len("text" + "text/plain" + text.encode().decode("latin-1")) // 4)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 100}, 100),
        ({"max_completion_tokens": 100, "max_tokens": 7}, 100),
        ({"max_completion_tokens": None, "max_tokens": 7}, 7),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"max_tokens": 100, "n": 2, "best_of": 5}, 500),
        ({"max_tokens": 100, "n": 0}, 100),
        ({"max_tokens": 100, "n": "3"}, 100),
        ({"max_output_tokens": 9}, 9),
        ({"generationConfig": {"maxOutputTokens": 8}}, 8),
        ({"generationConfig": {"maxOutputTokens": 8, "candidateCount": 4}}, 32),
        ({"inferenceConfig": {"maxTokens": 6}}, 6),
        ({"max_tokens": 0}, 0),
        ({}, None),
        ([], None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": "100"}, None),
        ({"max_tokens": 1.5}, None),
        ({"max_tokens": 10**9}, 10**9),
        ({"max_tokens": 10**9 + 1}, None),
        ({"max_tokens": 10**9, "n": 2}, None),
        ({"max_tokens": 10**30}, None),
        ({"generationConfig": 7, "inferenceConfig": [1]}, None),
        ({"generationConfig": {"maxOutputTokens": [1]}}, None),
    ],
)
def test_the_most_that_the_caller_lets_come_out(body: object, tokens: int | None) -> None:
    assert peek(body).tokens_out == tokens


@pytest.mark.parametrize(
    "path",
    [
        "/embeddings",
        "/v1/embeddings",
        "v1/moderations",
        "/messages/count_tokens?beta=true",
        "/models/g:countTokens",
        "/models/g:embedContent",
        "/models/g:batchEmbedContents",
        "/openai/deployments/d/embeddings",
    ],
)
def test_some_answers_have_no_tokens(path: str) -> None:
    assert peek({"max_tokens": 5}, path) == Peek(None, 0, 0)
    assert peek({"max_tokens": 5}, path.replace("e", "i")).tokens_out == 5


def test_without_a_body_nothing_is_spent() -> None:
    assert read_peek(b"", "/models") == Peek(None, 0, 0)


def test_the_model_is_seen_on_the_way() -> None:
    assert peek({"model": "gpt-5", "input": "abc"}) == Peek("gpt-5", 2, None)


@pytest.mark.parametrize("number", ["1e400", "9" * 5000])
def test_a_number_beyond_ours_is_the_providers_to_judge(number: str) -> None:
    body = b'{"model":"gpt-5","seed":%s}' % number.encode()
    assert read_peek(body, "/completions") == Peek("gpt-5", -(-len(body) // 4), None)
    assert read_peek(body, "/embeddings").tokens_out == 0


def judged(read: Any, *arguments: Any) -> object:
    try:
        found = read(*arguments)
    except InvalidRequest as error:
        return str(error)
    return found.model if isinstance(found, Peek) else found


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"model=gpt", b'{"model":"gpt-5"', b"\xff\xfe", b'{"a":"\xff"}', b'{"\xff":1}', b"[" * 100_000,
        b'{"model":"a"} x', b'{"model":7}', b'{"model":["gpt-5"]}', b'{"model":true}', b'{"model":"a","model":7}',
        b"NaN", b" ",
    ],
)  # fmt: skip
def test_what_is_no_json_or_names_a_model_that_is_no_text_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"the body is not JSON|the body's model must be text"):
        read_peek(body, "/completions")


@pytest.mark.parametrize("body", [b'{"model":"a","n":1e400}', b'{"model":"a","n":' + b"1" * 5000 + b"}"])
def test_numbers_that_nobody_can_hold_are_the_providers_to_refuse(body: bytes) -> None:
    assert read_peek(body, "/completions").model == "a"


def test_a_deep_body_is_counted() -> None:
    assert read_peek(b"[" * 800 + b'"abcd"' + b"]" * 800, "/completions").tokens_in == 1


@given(st.binary() | JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode()), st.sampled_from(PATHS))
@PROPERTY
def test_any_body_is_read_or_refused(body: bytes, path: str) -> None:
    try:
        found = read_peek(body, path)
    except InvalidRequest:
        return
    assert found.tokens_in >= 0
    assert found.tokens_out is None or 0 <= found.tokens_out <= 10**9
