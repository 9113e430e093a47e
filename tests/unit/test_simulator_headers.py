"""Durations are printed as Go does, and a 429 says when to come back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.simulator.headers import format_go_duration, limit_headers, retry_headers
from sluicegate_worker.simulator.limits import Verdict

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


def test_headers_name_the_limit_of_a_minute() -> None:
    verdict = Verdict(admitted=True, wait_us=0, limit=1_200, remaining=19, reset_us=50_000)
    assert limit_headers(verdict) == {
        "x-ratelimit-limit-requests": "1200",
        "x-ratelimit-remaining-requests": "19",
        "x-ratelimit-reset-requests": "50ms",
    }


@pytest.mark.parametrize(
    ("wait_us", "seconds", "ms"), [(1, "1", "1"), (1_000_000, "1", "1000"), (1_000_001, "2", "1001")]
)
def test_retry_after_is_never_too_early(wait_us: int, seconds: str, ms: str) -> None:
    verdict = Verdict(admitted=False, wait_us=wait_us, limit=60, remaining=0, reset_us=wait_us)
    assert retry_headers(verdict) == {"retry-after": seconds, "retry-after-ms": ms}
