"""What a caller asks for becomes a row for the enqueue script, or one sentence that says what to change."""

import math
from typing import Any

import msgspec
import pytest

from sluicegate.errors import InvalidRequest
from sluicegate.estimate import Peek, read_peek
from sluicegate.submission import (
    DEADLINE_S_MAX,
    Order,
    PoolTerms,
    UpstreamTerms,
    encode_body,
    prepare,
    takes_model,
)
from sluicegate.wire import RequestHead, Submission

TERMS = PoolTerms(
    models=("gpt-*", "text-?"), max_request_bytes=100, deadline_s=300, upstreams=[UpstreamTerms("openai")]
)

PEEK = Peek("gpt-5", 20, 30)


def order(**changed: Any) -> Submission:
    asked = Order(**{"path": "/v1/embeddings", "body": b"{}", **changed})
    return prepare(asked, encode_body(asked.body), PEEK, "ann", TERMS)


def head_of(submission: Submission) -> RequestHead:
    return msgspec.json.decode(submission.head, type=RequestHead)


def test_the_defaults() -> None:
    row = order(body={"n": 1})
    assert row[1:4] == ("ann", "interactive", "")
    assert (row.body, row.deadline_us, row.not_before_us, row.on_unknown) == (b'{"n":1}', 0, 0, "retry")
    assert head_of(row) == RequestHead("POST", "/embeddings", model="gpt-5", tokens=50)
    assert row[10:] == ("gpt-5", 20, 30)
    assert len(row.digest) == 32


def test_what_is_named_is_taken_over() -> None:
    row = order(
        id="mine", agent="bob", priority="batch", key="k 1", deadline=1.5, not_before=0.25, on_unknown="dead", tokens=9,
        method="post",
    )  # fmt: skip
    assert row[:4] == ("mine", "bob", "batch", "k 1")
    assert row[7:10] == (1_500_000, 250_000, "dead")
    assert (head_of(row).method, head_of(row).tokens) == ("POST", 9)


@pytest.mark.parametrize(
    ("said", "peek", "split"),
    [
        (None, Peek("m", 20, None), (20, -1)),
        (100, Peek("m", 20, 30), (70, 30)),
        (10, Peek("m", 20, 30), (0, 10)),
        (100, Peek("m", 20, None), (20, 80)),
        (0, Peek("m", 20, None), (0, 0)),
    ],
)
def test_the_callers_own_estimate_goes_before_ours(said: int | None, peek: Peek, split: tuple[int, int]) -> None:
    asked = Order(path="/embeddings", body=b"{}", tokens=said)
    assert prepare(asked, b"{}", peek, "ann", TERMS)[11:] == split


def test_the_digest_is_of_method_path_and_body_alone() -> None:
    same = {order(body=b"1").digest, order(body=b"1", path="embeddings", agent="bob", key="k", deadline=5).digest}
    assert len(same) == 1
    others = {
        order(body=b"2").digest,
        order(body=b"1", path="/completions").digest,
        order(path="/models", method="GET", body=None).digest,
    }
    assert len(others | same) == 4


def test_only_headers_of_the_allow_list_go_on() -> None:
    row = order(
        headers={
            "Accept": "application/json", "OpenAI-Beta": "x=1", "Authorization": "Bearer secret", "Cookie": "a",
            "X-Api-Key": "k", "Idempotency-Key": "mine", "Host": "evil.example", "Content-Length": "7",
        }
    )  # fmt: skip
    assert head_of(row).headers == {"accept": "application/json", "openai-beta": "x=1"}
    assert b"secret" not in row.head


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"priority": "urgent"}, "priority must be interactive or batch, not 'urgent'"),
        ({"on_unknown": "maybe"}, "on_unknown must be retry or dead, not 'maybe'"),
        ({"method": "BREW"}, "method must be GET, POST, PUT, PATCH or DELETE, not 'BREW'"),
        ({"method": None}, "method must be GET"),
        ({"path": "/nonsense"}, "POST /nonsense is not a path that openai answers here"),
        ({"path": "/../admin"}, "is not a path: write it like /chat/completions"),
        ({"body": None}, "POST needs a body: an object, or bytes that are JSON"),
        ({"body": b"x" * 101}, r"the body has 101 bytes; the pool takes at most 100 \(max_request_bytes\)"),
        ({"agent": "a b"}, "agent must be 1 to 64"),
        ({"agent": ""}, "agent|name the agent"),
        ({"id": "a:b"}, "id must be 1 to 64"),
        ({"id": ""}, "id must be 1 to 64"),
        ({"key": ""}, "key must be 1 to 256"),
        ({"deadline": 0}, "deadline is in seconds from now and must lie between 0.001 and"),
        ({"deadline": -5}, "deadline is in seconds from now"),
        ({"deadline": DEADLINE_S_MAX + 1}, "deadline is in seconds from now"),
        ({"deadline": math.nan}, "deadline is a number of seconds"),
        ({"deadline": math.inf}, "deadline is a number of seconds"),
        ({"deadline": "5"}, "deadline is a number of seconds"),
        ({"deadline": True}, "deadline is a number of seconds"),
        ({"not_before": -0.1}, "not_before is in seconds from now and must lie between 0 and"),
        ({"tokens": -1}, "tokens must be a whole number from 0"),
        ({"tokens": 1.5}, "tokens must be a whole number from 0"),
        ({"tokens": True}, "tokens must be a whole number from 0"),
        ({"headers": {"accept": "a\r\nHost: evil"}}, "header accept must be printable ASCII of at most 2048"),
        ({"headers": {"accept": "x" * 2049}}, "header accept must be printable ASCII"),
        ({"headers": {"accept": 7}}, "header accept must be printable ASCII"),
        ({"headers": {7: "x"}}, "headers must be a mapping of text to text"),
        ({"headers": ["accept"]}, "headers must be a mapping of text to text"),
    ],
)
def test_what_could_never_be_answered_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence) as caught:
        order(**changed)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_somebody_must_be_named() -> None:
    with pytest.raises(InvalidRequest, match="name the agent"):
        prepare(Order(path="/embeddings", body=b"{}"), b"{}", PEEK, None, TERMS)


@pytest.mark.parametrize(
    ("body", "encoded"),
    [
        ({"a": [1, None, "ä"]}, '{"a":[1,null,"ä"]}'.encode()),
        (b'{"a": 1}', b'{"a": 1}'),
        (bytearray(b"[]"), b"[]"),
        (memoryview(b"[]"), b"[]"),
        (None, b""),
        ("text", b'"text"'),
    ],
)
def test_bodies_become_json_and_bytes_stay(body: object, encoded: bytes) -> None:
    assert encode_body(body) == encoded


@pytest.mark.parametrize("body", [object(), {"a": object()}, {(1, 2): 3}, "\ud800"])
def test_what_is_no_json_is_refused(body: object) -> None:
    with pytest.raises(InvalidRequest, match="the body cannot be written as JSON"):
        encode_body(body)


def test_a_body_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidRequest, match="the body cannot be written as JSON"):
        encode_body(endless)


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model":"gpt-5"}', "gpt-5"),
        (b'{"model":null}', None),
        (b"{}", None),
        (b"[1]", None),
        (b"", None),
        (b"null", None),
    ],
)
def test_the_model_of_a_body(body: bytes, model: str | None) -> None:
    assert read_peek(body, "/embeddings").model == model


@pytest.mark.parametrize("model", [b"7", b"true", b'["gpt-5"]', b"{}"])
def test_a_model_that_is_no_text_is_refused(model: bytes) -> None:
    with pytest.raises(InvalidRequest, match="the body's model must be text"):
        read_peek(b'{"model":' + model + b"}", "/embeddings")


@pytest.mark.parametrize(
    "body", [b"{", b"model=gpt", b'{"model":"gpt-5"', b"\xff\xfe", b"[" * 100_000, b'{"model":"a"} x']
)
def test_bytes_that_are_no_json_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="the body is not JSON"):
        read_peek(body, "/embeddings")


@pytest.mark.parametrize(
    ("model", "taken"),
    [("gpt-5", True), ("text-1", True), ("text-10", False), ("GPT-5", False), ("claude", False), (None, True)],
)
def test_a_pool_takes_the_models_of_its_patterns(model: str | None, taken: bool) -> None:
    assert TERMS.takes(model) is taken
    assert takes_model(("*",), "anything")
    assert not takes_model((), "anything")
