"""Each provider's headers say how the limits stand, in its own words, and a 429 says when to come back."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.simulator import headers
from sluicegate_worker.simulator.behaviour import Dimension
from sluicegate_worker.simulator.headers import format_go_duration, format_rfc3339
from sluicegate_worker.simulator.limits import Standing

UNIT_MS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


@pytest.mark.parametrize(
    ("duration_us", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (12_000, "12ms"),
        (999_001, "1s"),
        (1_000_000, "1s"),
        (1_500_000, "1.5s"),
        (59_999_000, "59.999s"),
        (60_000_000, "1m0s"),
        (90_050_000, "1m30.05s"),
        (360_000_000, "6m0s"),
        (3_600_000_000, "1h0m0s"),
        (90_061_001_000, "25h1m1.001s"),
    ],
)
def test_durations_look_as_in_go(duration_us: int, text: str) -> None:
    assert format_go_duration(duration_us) == text


@given(st.integers(0, 10**12))
def test_a_duration_reads_back_rounded_up_to_a_millisecond(duration_us: int) -> None:
    parts = re.findall(r"([\d.]+)(ms|h|m|s)", format_go_duration(duration_us))
    read_ms = round(sum(float(number) * UNIT_MS[unit] for number, unit in parts))
    assert 0 <= read_ms * 1_000 - duration_us < 1_000


STANDINGS: dict[Dimension, Standing] = {
    "rpm": Standing(limit=1_200, remaining=19, reset_us=50_000),
    "tpm": Standing(limit=90_000, remaining=0, reset_us=90_000_000),
    "itpm": Standing(limit=80_000, remaining=7, reset_us=1),
    "rpd": Standing(limit=5, remaining=3, reset_us=1),
}
NOW_US = 1_800_000_000_000_000


def test_openai_names_the_limits_of_a_minute() -> None:
    assert headers.openai_limits(STANDINGS, NOW_US) == {
        "x-ratelimit-limit-requests": "1200",
        "x-ratelimit-remaining-requests": "19",
        "x-ratelimit-reset-requests": "50ms",
        "x-ratelimit-limit-tokens": "90000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m30s",
    }


def test_azure_names_the_requests_of_ten_seconds_and_no_resets() -> None:
    assert headers.azure_limits(STANDINGS, NOW_US) == {
        "x-ratelimit-limit-requests": "200",
        "x-ratelimit-remaining-requests": "19",
        "x-ratelimit-limit-tokens": "90000",
        "x-ratelimit-remaining-tokens": "0",
    }


def test_anthropic_names_input_and_output_and_moments() -> None:
    assert headers.anthropic_limits(STANDINGS, NOW_US) == {
        "anthropic-ratelimit-requests-limit": "1200",
        "anthropic-ratelimit-requests-remaining": "19",
        "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:01Z",
        "anthropic-ratelimit-tokens-limit": "90000",
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": "2027-01-15T08:01:30Z",
        "anthropic-ratelimit-input-tokens-limit": "80000",
        "anthropic-ratelimit-input-tokens-remaining": "7",
        "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:01Z",
    }


@pytest.mark.parametrize("write", [headers.openai_limits, headers.azure_limits, headers.anthropic_limits])
def test_what_is_not_limited_is_not_named(write: Callable[[headers.Standings, int], dict[str, str]]) -> None:
    assert write({}, NOW_US) == {}
    assert headers.no_limits(STANDINGS, NOW_US) == {}


@pytest.mark.parametrize(
    ("at_us", "text"),
    [(NOW_US, "2027-01-15T08:00:00Z"), (NOW_US + 1, "2027-01-15T08:00:01Z"), (0, "1970-01-01T00:00:00Z")],
)
def test_moments_are_rounded_up_to_a_second(at_us: int, text: str) -> None:
    assert format_rfc3339(at_us) == text


@pytest.mark.parametrize(
    ("wait_us", "seconds", "ms"), [(1, "1", "1"), (1_000_000, "1", "1000"), (1_000_001, "2", "1001")]
)
def test_retry_after_is_never_too_early(wait_us: int, seconds: str, ms: str) -> None:
    assert headers.openai_retry(wait_us) == {"retry-after": seconds, "retry-after-ms": ms}
    assert headers.plain_retry(wait_us) == {"retry-after": seconds}
