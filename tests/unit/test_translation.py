"""What an SDK's request asks of the queue, and what an error is as an answer."""

import json

import pytest

from sluicegate import errors
from sluicegate.translation import read_question, refuse

JSON = {"content-type": "application/json"}


def test_time_out_agent_priority_and_key_are_options() -> None:
    headers = {**JSON, "x-sluicegate-agent": "bob", "x-sluicegate-priority": "batch", "idempotency-key": "k"}
    question = read_question("POST", "https", "/v1/messages?beta=true", headers, b"{}", 30.0)
    assert (question.path, question.body, question.is_streamed) == ("/v1/messages?beta=true", b"{}", False)
    assert question.options == {
        "method": "POST", "headers": headers, "deadline": 30.0, "agent": "bob", "priority": "batch", "key": "k",
    }  # fmt: skip
    assert read_question("GET", "https", "/v1/models", {}, b"", None).options == {"method": "GET", "headers": {}}


@pytest.mark.parametrize(
    ("target", "body", "streamed"),
    [
        ("/v1/chat/completions", b'{"stream":true}', True),
        ("/v1/chat/completions", b'{"stream":false}', False),
        ("/v1/chat/completions", b'{"stream":1}', False),
        ("/v1/chat/completions", b'{"messages":["stream"]}', False),
        ("/v1/chat/completions", b"nonsense", False),
        ("/v1beta/models/m:streamGenerateContent?alt=sse", b"{}", True),
        ("/model/m/converse-stream", b"{}", True),
    ],
)
def test_who_asks_for_a_stream(target: str, body: bytes, streamed: bool) -> None:
    assert read_question("POST", "http", target, JSON, body, None).is_streamed is streamed


@pytest.mark.parametrize(
    ("scheme", "kind", "words"),
    [("wss", "application/json", "wss does not wait"), ("https", "multipart/form-data; boundary=x", "only JSON does")],
)
def test_what_cannot_wait_is_refused_with_the_way_to_go(scheme: str, kind: str, words: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=f"{words}.*ask the provider directly"):
        read_question("POST", scheme, "/v1/files", {"content-type": kind}, b"--x", None)


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (errors.InvalidRequest("no"), 400, None),
        (errors.BacklogFull("no", 2.1), 429, "3"),
        (errors.WouldMissDeadline("no", 60.0, 0.2), 429, "1"),
        (errors.StoreUnavailable("no"), 503, "1"),
        (errors.RequestDead("no", "attempts", 529, None), 529, None),
        (errors.RequestDead("no", "upstream_error", 302, None), 502, None),
        (errors.RequestDead("no", "poison", None, None), 502, None),
        (errors.RequestCancelled("no"), 499, None),
    ],
)
def test_an_error_is_an_answer_that_sdks_understand(
    error: errors.SluicegateError, status: int, retry_after: str | None
) -> None:
    refusal = refuse(error)
    assert (refusal.status, refusal.headers.get("retry-after")) == (status, retry_after)
    assert refusal.headers.get("x-should-retry") == ("false" if retry_after is None else None)
    assert refusal.headers["x-sluicegate-error"] == type(error).__name__
    body = json.loads(refusal.body)
    assert (body["type"], body["error"]["message"]) == ("error", "no")
