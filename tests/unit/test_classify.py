"""Whose fault an answer is: each provider's answers, as it writes them."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.upstream.call import Answer
from sluicegate_worker.upstream.classify import Kind, classify, read_usage
from support.properties import PROPERTY

OPENAI = b'{"error":{"message":"m","type":"%s","param":null,"code":"%s"}}'
ANTHROPIC = b'{"type":"error","error":{"type":"%s","message":"m"},"request_id":"req_1"}'
GEMINI = b'{"error":{"code":%d,"message":"m","status":"%s"}}'
AWS = b'{"__type":"ThrottlingException","message":"Too many tokens, please wait before trying again."}'
ANTHROPIC_429 = b'{"type":"error","error":{"type":"rate_limit_error","message":"%s","details":%s}}'
SPENT = b'{"error_code":"enforced_spend_limit_reached"}'
BODIES = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["error", "usage", "details", "code", "type", "message", "@type", "violations", "quotaId"]), inner
))  # fmt: skip
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
        (429, OPENAI % (b"requests", b"slow_down"), "ramp"),
        (429, OPENAI % (b"slow_down", b""), "ramp"),
        (429, ANTHROPIC_429 % (b"This would exceed your organization's Acceleration Limit.", b"null"), "ramp"),
        (429, ANTHROPIC_429 % (b"... maximum usage increase rate for input tokens per minute", b"null"), "ramp"),
        (429, ANTHROPIC_429 % (b"This would exceed 50,000 input tokens per minute", b"null"), "rate"),
        (429, ANTHROPIC % b"rate_limit_error", "rate"),
        (429, GEMINI % (429, b"RESOURCE_EXHAUSTED"), "rate"),
        (429, AWS, "rate"),
        (429, HTML, "rate"),
        (429, b"", "rate"),
        (429, OPENAI % (b"insufficient_quota", b"insufficient_quota"), "quota"),
        (429, OPENAI % (b"insufficient_quota", b"credit_balance_exhausted"), "quota"),
        (429, ANTHROPIC % b"enforced_spend_limit_reached", "quota"),
        (429, ANTHROPIC_429 % (b"You have reached your API usage limits", SPENT), "quota"),
        (529, ANTHROPIC % b"overloaded_error", "overload"),
        (529, b"", "overload"),
        (503, OPENAI % (b"server_error", b"server_is_overloaded"), "overload"),
        (503, OPENAI % (b"server_error", b"slow_down"), "ramp"),
        (503, GEMINI % (503, b"UNAVAILABLE"), "transient"),
        (500, OPENAI % (b"server_error", b"slow_down"), "transient"),
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


def daily(*names: str, details: object = None) -> bytes:
    violations = [{"quotaMetric": "generate_content_free_tier_requests", "quotaId": name} for name in names]
    failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}
    return json.dumps({"error": {"code": 429, "details": [failure] if details is None else details}}).encode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (daily("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), "quota"),
        (daily("GenerateRequestsPerMinutePerProject", "GenerateRequestsPerDayPerProject"), "quota"),
        (b"[" + daily("GenerateRequestsPerDayPerProjectPerModel-FreeTier") + b"]", "quota"),
        (daily("generate_requests_per_day"), "quota"),
        (daily("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), "rate"),
        (daily(), "rate"),
        (daily(details=[{"@type": "google.rpc.QuotaFailure", "violations": ["PerDay", 7]}]), "rate"),
        (daily(details=[{"@type": "google.rpc.QuotaFailure", "violations": "PerDay"}]), "rate"),
        (daily(details=[{"@type": "google.rpc.Help", "violations": [{"quotaId": "PerDay"}]}]), "rate"),
        (daily(details="PerDay"), "rate"),
    ],
)
def test_googles_limit_of_a_day_is_a_quota(body: bytes, kind: str) -> None:
    assert classify(Answer(429, {}, body)) == kind


@pytest.mark.parametrize(
    ("status", "name", "body", "kind"),
    [
        (429, "ThrottlingException", b"{}", "rate"),
        (400, "ThrottlingException", b"{}", "rate"),
        (400, "ThrottlingException:http://internal.amazon.com/coral/com.amazon.coral.availability/", b"", "rate"),
        (400, "", AWS, "rate"),
        (400, "", AWS.replace(b"Thr", b"com.amazon.coral.availability#Thr"), "rate"),
        (400, "ValidationException", b"{}", "final"),
        (400, "", b'{"__type":"ValidationException","message":"ThrottlingException"}', "final"),
        (400, "", b'{"__type":7}', "final"),
        (404, "ThrottlingException", AWS, "final"),
    ],
)
def test_aws_throttles_in_several_ways(status: int, name: str, body: bytes, kind: str) -> None:
    assert classify(Answer(status, {"x-amzn-errortype": name} if name else {}, body)) == kind


@given(st.integers(100, 599), st.text(), st.binary() | BODIES.map(lambda found: json.dumps(found).encode()))
@PROPERTY
def test_any_answer_has_a_kind(status: int, name: str, body: bytes) -> None:
    assert classify(Answer(status, {"x-amzn-errortype": name}, body)) in get_args(Kind)
    assert read_usage(body) is None or isinstance(read_usage(body), dict)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"usage":{"total_tokens":3,"details":{"x":1}}}', {"total_tokens": 3, "details": {"x": 1}}),
        (b'{"usageMetadata":{"promptTokenCount":3}}', {"promptTokenCount": 3}),
        (b'{"usage":null,"usageMetadata":{"promptTokenCount":3}}', {"promptTokenCount": 3}),
        (b'{"usage":{"a":1},"usageMetadata":{"b":2}}', {"a": 1}),
        (b'{"usage":3}', None),
        (b'{"usageMetadata":[3]}', None),
        (b"[]", None),
        (b"{}", None),
        (HTML, None),
    ],
)
def test_usage_is_passed_on_as_the_provider_says_it(body: bytes, usage: dict[str, object] | None) -> None:
    assert read_usage(body) == usage
