"""What answers report of their limits: each provider's headers, as it writes them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.upstream.reported import TRUST, Reported, read_reported
from support.properties import PROPERTY

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT
OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-tokens": "29942",
    "x-ratelimit-reset-tokens": "1m26.4s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:21Z",
    "anthropic-ratelimit-tokens-limit": "48000",
    "anthropic-ratelimit-tokens-remaining": "47000",
    "anthropic-ratelimit-tokens-reset": "2023-11-14T22:13:22Z",
    "anthropic-ratelimit-input-tokens-limit": "40000",
    "anthropic-ratelimit-input-tokens-remaining": "39000",
    "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:23Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "8000",
    "anthropic-ratelimit-output-tokens-reset": "2023-11-14T22:13:10Z",
}


@pytest.mark.parametrize("provider", ["openai", "generic"])
def test_openai_and_those_that_speak_as_it_does(provider: str) -> None:
    assert read_reported(provider, OPENAI, NOW_S) == {
        "rpm": Reported(500, 499, 0.12),
        "tpm": Reported(30_000, 29_942, 86.4),
    }


def test_anthropic() -> None:
    assert read_reported("anthropic", ANTHROPIC, NOW_S) == {
        "rpm": Reported(50, 49, 0),  # a second less than it says, for moments are in whole seconds
        "tpm": Reported(48_000, 47_000, 1),
        "itpm": Reported(40_000, 39_000, 2),
        "otpm": Reported(8_000, 8_000, 0),
    }


def test_the_limits_that_azure_reports_are_not_believed() -> None:
    headers = {"x-ratelimit-limit-requests": "20", "x-ratelimit-remaining-requests": "19"}
    assert read_reported("azure", headers, NOW_S) == {"rpm": Reported(None, 19, None)}
    assert read_reported("azure", {"x-ratelimit-limit-requests": "20"}, NOW_S) == {}
    assert read_reported("azure", {"x-ratelimit-reset-tokens": "10"}, NOW_S) == {"tpm": Reported(None, None, 10)}


@pytest.mark.parametrize("provider", ["gemini", "bedrock", "nobody"])
def test_others_report_nothing(provider: str) -> None:
    assert read_reported(provider, {**OPENAI, **ANTHROPIC}, NOW_S) == {}


@pytest.mark.parametrize("provider", TRUST)
def test_no_headers_report_nothing(provider: str) -> None:
    assert read_reported(provider, {"date": "today"}, NOW_S) == {}


@pytest.mark.parametrize("text", ["", "-1", "many", "inf", "nan", "500, 10000;w=60", "9" * 400])
def test_what_is_no_number_is_not_believed(text: str) -> None:
    headers = {f"x-ratelimit-{field}-requests": text for field in ("limit", "remaining", "reset")}
    assert read_reported("openai", headers, NOW_S) == {}
    assert read_reported("openai", {**OPENAI, **headers}, NOW_S).keys() == {"tpm"}


def test_a_limit_of_nothing_is_none_but_nothing_may_remain() -> None:
    headers = {"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "0s"}
    assert read_reported("openai", headers, NOW_S) == {"tpm": Reported(None, 0, 0)}


@given(st.sampled_from(sorted(TRUST)), st.dictionaries(st.sampled_from([*OPENAI, *ANTHROPIC]), st.text()))
@PROPERTY
def test_any_headers_report_numbers_or_nothing(provider: str, headers: dict[str, str]) -> None:
    for reported in read_reported(provider, headers, NOW_S).values():
        assert any(value is not None for value in reported)
        assert all(value is None or (math.isfinite(value) and value >= 0) for value in reported)
        assert reported.limit is None or reported.limit > 0
