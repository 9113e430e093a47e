"""When a provider wants to be asked again, in all the forms that providers have for it."""

import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.upstream.delays import DELAY_S_MAX, read_retry_after_s
from support.properties import PROPERTY

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "delay_s"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0),
        ({"retry-after": "Wed, 15 Nov 2023 22:13:20 GMT"}, 3600),
        ({"retry-after": "86400"}, 3600),
        ({"retry-after-ms": "99999999"}, 3600),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Tue, 99 Nov 2023 22:13:50 GMT"}, None),
        ({"retry-after": "9" * 400}, None),
    ],
)
def test_what_the_provider_asks_for(headers: dict[str, str], delay_s: float | None) -> None:
    assert read_retry_after_s(headers, b"", NOW_S) == delay_s


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as here:
        here.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000", ""])
def test_a_date_without_a_zone_is_not_meant_for_this_machines_zone(far_from_greenwich: None, zone: str) -> None:
    assert read_retry_after_s({"retry-after": f"Tue, 14 Nov 2023 22:13:50 {zone}".strip()}, b"", NOW_S) == 30


def gemini(*details: object) -> bytes:
    return json.dumps({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}}).encode()


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.837906927s"}
QUOTA_FAILURE = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "x"}]}


@pytest.mark.parametrize(
    ("body", "delay_s"),
    [
        (gemini(QUOTA_FAILURE, RETRY_INFO), 45.837906927),
        (b"[" + gemini(RETRY_INFO) + b"]", 45.837906927),
        (gemini({**RETRY_INFO, "retryDelay": "57s"}), 57),
        (gemini({**RETRY_INFO, "retryDelay": "0s"}), 0),
        (gemini({**RETRY_INFO, "retryDelay": "86400s"}), 3600),
        (gemini({**RETRY_INFO, "retryDelay": "-3s"}), None),
        (gemini({**RETRY_INFO, "retryDelay": 57}), None),
        (gemini({"retryDelay": "57s"}), None),
        (gemini(RETRY_INFO, {**RETRY_INFO, "retryDelay": "57s"}), 57),
        (gemini(QUOTA_FAILURE), None),
        (gemini("57s", None, []), None),
        (b'{"error":{"details":{"retryDelay":"57s"}}}', None),
        (b'{"error":"57s"}', None),
        (b"[]", None),
        (b"[7]", None),
        (b"<html>", None),
        (b"[" * 100_000, None),
    ],
)
def test_what_google_asks_for_in_the_body(body: bytes, delay_s: float | None) -> None:
    assert read_retry_after_s({}, body, NOW_S) == delay_s


@pytest.mark.parametrize(
    ("headers", "delay_s"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12ms"}, 0.012),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7"}, 7),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "23h0m0s"}, 3600),
        ({"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": "7"}, None),
        ({"x-ratelimit-remaining-tokens": "", "x-ratelimit-reset-tokens": "7"}, None),
        ({"x-ratelimit-reset-tokens": "7"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-reset-requests": "50s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "8.64s",
            },
            8.64,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "50s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "8.64s",
            },
            50,
        ),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:50Z",
            },
            30,
        ),
        (
            {
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-output-tokens-reset": "2023-11-14T22:00:00Z",
            },
            0,
        ),
    ],
)
def test_else_the_limit_that_is_used_up_says_when(headers: dict[str, str], delay_s: float | None) -> None:
    assert read_retry_after_s(headers, b"", NOW_S) == delay_s
    assert read_retry_after_s({**headers, "retry-after": "3"}, b"", NOW_S) == 3
    assert read_retry_after_s(headers, gemini({**RETRY_INFO, "retryDelay": "4s"}), NOW_S) == 4


def test_a_header_goes_before_the_body() -> None:
    assert read_retry_after_s({"retry-after": "3"}, gemini(RETRY_INFO), NOW_S) == 3


NAMES = ("retry-after", "retry-after-ms", "x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset")
SPENT = {"x-ratelimit-remaining-tokens": "0", "anthropic-ratelimit-tokens-remaining": "0"}


@given(
    st.dictionaries(st.sampled_from(NAMES), st.text() | st.text("0123456789.smhT:Z- ")),
    st.binary() | st.text().map(lambda text: gemini({**RETRY_INFO, "retryDelay": text})),
)
@PROPERTY
def test_whatever_is_said_the_delay_is_bounded(headers: dict[str, str], body: bytes) -> None:
    delay_s = read_retry_after_s({**SPENT, **headers}, body, NOW_S)
    assert delay_s is None or 0 <= delay_s <= DELAY_S_MAX
