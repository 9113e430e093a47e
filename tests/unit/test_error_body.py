"""The error in whatever body comes back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.upstream.error_body import read_error
from support.properties import PROPERTY

SPEND_LIMIT = b"""{"type":"error","error":{"type":"rate_limit_error","message":"m",
    "details":{"error_code":"enforced_spend_limit_reached"}}}"""
GEMINI = b"""{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[
    {"@type":"type.googleapis.com/google.rpc.Help"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","a":1},7]}}"""
NESTED = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["error", "details", "code", "type", "message", "@type", "__type", "error_code"]), inner
))  # fmt: skip


@pytest.mark.parametrize(
    ("body", "codes", "message"),
    [
        (b'{"error":{"message":"m","type":"requests","code":"slow_down"}}', {"requests", "slow_down"}, "m"),
        (b'{"error":{"type":"insufficient_quota","code":null}}', {"insufficient_quota"}, ""),
        (SPEND_LIMIT, {"rate_limit_error", "enforced_spend_limit_reached"}, "m"),
        (GEMINI, set(), "m"),
        (b"[" + GEMINI + b"]", set(), "m"),
        (b'{"error":"model overloaded"}', set(), ""),
        (b'{"error":["a"]}', set(), ""),
        (b"[1,2]", set(), ""),
        (b"[]", set(), ""),
        (b"null", set(), ""),
        (b"\xff\xfe", set(), ""),
        (b"[" * 100_000, set(), ""),
        (b"<html></html>", set(), ""),
        (b"", set(), ""),
    ],
)
def test_the_codes_and_the_message(body: bytes, codes: set[str], message: str) -> None:
    error = read_error(body)
    assert (set(error.codes), error.message) == (codes, message)


def test_details_of_google_are_found_by_their_kind() -> None:
    assert [detail.get("a") for detail in read_error(GEMINI).google_details(".RetryInfo")] == [1]
    assert read_error(GEMINI).google_details(".QuotaFailure") == []
    assert read_error(SPEND_LIMIT).google_details(".RetryInfo") == []


def test_the_name_that_aws_has_for_it() -> None:
    assert read_error(b'{"__type":"ThrottlingException","message":"m"}').aws_type == "ThrottlingException"
    assert read_error(b'{"__type":7}').aws_type == ""


@given(st.binary() | NESTED.map(lambda found: json.dumps(found).encode()))
@PROPERTY
def test_any_body_has_an_error_or_none(body: bytes) -> None:
    error = read_error(body)
    assert all(isinstance(code, str) for code in error.codes)
    assert isinstance(error.message + error.aws_type, str)
    assert isinstance(error.google_details(""), list)
