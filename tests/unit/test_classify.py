"""Whose fault an answer is: each provider's answers, as it writes them."""

import pytest

from sluicegate_worker.upstream.call import Answer
from sluicegate_worker.upstream.classify import classify, error_code, read_usage

OPENAI = b'{"error":{"message":"m","type":"%s","param":null,"code":"%s"}}'
ANTHROPIC = b'{"type":"error","error":{"type":"%s","message":"m"},"request_id":"req_1"}'
GEMINI = b'{"error":{"code":%d,"message":"m","status":"%s"}}'
AWS = b'{"__type":"ThrottlingException","message":"Too many tokens, please wait before trying again."}'
HTML = b"<html><body>502 Bad Gateway</body></html>"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"choices":[]}', "final"),
        (201, b"", "final"),
        (400, OPENAI % (b"invalid_request_error", b"context_length_exceeded"), "final"),
        (404, OPENAI % (b"invalid_request_error", b"model_not_found"), "final"),
        (409, b"", "final"),
        (413, ANTHROPIC % b"request_too_large", "final"),
        (422, b"", "final"),
        (401, OPENAI % (b"invalid_request_error", b"invalid_api_key"), "credentials"),
        (401, ANTHROPIC % b"authentication_error", "credentials"),
        (402, ANTHROPIC % b"billing_error", "credentials"),
        (403, ANTHROPIC % b"permission_error", "credentials"),
        (403, GEMINI % (403, b"PERMISSION_DENIED"), "credentials"),
        (429, OPENAI % (b"requests", b"rate_limit_exceeded"), "rate"),
        (429, OPENAI % (b"tokens", b"rate_limit_exceeded"), "rate"),
        (429, OPENAI % (b"requests", b"slow_down"), "rate"),
        (429, ANTHROPIC % b"rate_limit_error", "rate"),
        (429, GEMINI % (429, b"RESOURCE_EXHAUSTED"), "rate"),
        (429, AWS, "rate"),
        (429, HTML, "rate"),
        (429, b"", "rate"),
        (429, OPENAI % (b"insufficient_quota", b"insufficient_quota"), "quota"),
        (429, OPENAI % (b"insufficient_quota", b"credit_balance_exhausted"), "quota"),
        (429, ANTHROPIC % b"enforced_spend_limit_reached", "quota"),
        (529, ANTHROPIC % b"overloaded_error", "overload"),
        (529, b"", "overload"),
        (503, OPENAI % (b"server_error", b"server_is_overloaded"), "overload"),
        (503, OPENAI % (b"server_error", b"slow_down"), "overload"),
        (503, HTML, "transient"),
        (500, OPENAI % (b"server_error", b""), "transient"),
        (500, ANTHROPIC % b"api_error", "transient"),
        (502, HTML, "transient"),
        (504, ANTHROPIC % b"timeout_error", "transient"),
        (520, HTML, "transient"),
        (408, b"", "transient"),
        (425, b"", "transient"),
        (301, b"", "unusable"),
        (307, b"", "unusable"),
        (304, b"", "unusable"),
        (101, b"", "unusable"),
    ],
)
def test_each_answer_has_its_kind(status: int, body: bytes, kind: str) -> None:
    assert classify(Answer(status, {}, body)) == kind


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (OPENAI % (b"requests", b"rate_limit_exceeded"), "rate_limit_exceeded"),
        (b'{"error":{"type":"insufficient_quota","code":null}}', "insufficient_quota"),
        (ANTHROPIC % b"overloaded_error", "overloaded_error"),
        (GEMINI % (429, b"RESOURCE_EXHAUSTED"), None),
        (b'{"error":"model overloaded"}', None),
        (b'{"error":["a"]}', None),
        (b"[1,2]", None),
        (b"null", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_the_code_of_whatever_comes_back(body: bytes, code: str | None) -> None:
    assert error_code(body) == code


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"usage":{"total_tokens":3,"details":{"x":1}}}', {"total_tokens": 3, "details": {"x": 1}}),
        (b'{"usage":3}', None),
        (b"{}", None),
        (HTML, None),
    ],
)
def test_usage_is_passed_on_as_the_provider_says_it(body: bytes, usage: dict[str, object] | None) -> None:
    assert read_usage(body) == usage
