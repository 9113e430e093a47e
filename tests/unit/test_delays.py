"""Retry-After in all its forms."""

import time
from collections.abc import Iterator

import pytest

from sluicegate_worker.upstream.delays import read_retry_after_s

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
    assert read_retry_after_s(headers, NOW_S) == delay_s


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as here:
        here.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000", ""])
def test_a_date_without_a_zone_is_not_meant_for_this_machines_zone(far_from_greenwich: None, zone: str) -> None:
    assert read_retry_after_s({"retry-after": f"Tue, 14 Nov 2023 22:13:50 {zone}".strip()}, NOW_S) == 30
