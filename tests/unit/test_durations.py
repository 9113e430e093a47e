"""Numbers, durations and times, as providers write them and as they do not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.upstream.durations import (
    parse_go_duration_s,
    parse_http_date_s,
    parse_number,
    parse_reset_s,
    parse_rfc3339_s,
)
from support.properties import PROPERTY

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("12ms", 0.012),
        ("1h0m0s", 3600),
        ("8.64s", 8.64),
        ("1m26.4s", 86.4),
        ("45.837906927s", 45.837906927),
        ("250µs", 0.00025),
        ("250us", 0.00025),
        ("9ns", 9e-9),
        (".5s", 0.5),
        ("5.s", 5),
        (" 1s ", 1),
        ("0", 0),
        ("0s", 0),
        ("17h24m0s", 62_640),
        ("", None),
        ("1", None),
        ("s", None),
        ("-1s", None),
        ("+1s", None),
        ("1 s", None),
        ("1s later", None),
        ("1d", None),
        ("1..5s", None),
        ("1e3s", None),
        ("infs", None),
        ("١s", None),
        ("9" * 64 + "s", None),
        (None, None),
        (1, None),
    ],
)
def test_go_durations(text: object, seconds: float | None) -> None:
    assert parse_go_duration_s(text) == (seconds if seconds is None else pytest.approx(seconds, rel=1e-12))


@pytest.mark.parametrize(
    ("text", "unix_s"),
    [
        ("2023-11-14T22:13:20Z", NOW_S),
        ("2023-11-14t22:13:20z", NOW_S),
        ("2023-11-14T23:13:20+01:00", NOW_S),
        ("2023-11-14T22:13:20.5Z", NOW_S + 0.5),
        ("2023-11-14T22:13:20.123456789Z", NOW_S + 0.123456),
        ("2023-11-14 22:13:20Z", NOW_S),
        ("2023-11-14T22:13:20", None),
        ("2023-11-14", None),
        ("2023-13-14T22:13:20Z", None),
        ("2023-11-14T22:13:60Z", None),
        ("2023-W46-2T22:13:20Z", None),
        ("20231114T221320Z", None),
        ("", None),
        (None, None),
    ],
)
def test_times_by_rfc_3339(text: object, unix_s: float | None) -> None:
    assert parse_rfc3339_s(text) == unix_s


def test_dates_of_http() -> None:
    assert parse_http_date_s("Tue, 14 Nov 2023 22:13:20 GMT") == NOW_S
    assert parse_http_date_s("2023-11-14T22:13:20Z") is None
    assert parse_http_date_s(None) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("1.5", 1.5),
        ("6m0s", 360),
        ("2023-11-14T22:13:50Z", 30),
        ("2023-11-14T22:00:00Z", 0),
        ("0", 0),
        ("-1", None),
        ("nan", None),
        ("soon", None),
        (None, None),
    ],
)
def test_a_reset_is_said_in_three_ways(text: object, seconds: float | None) -> None:
    assert parse_reset_s(text, NOW_S) == seconds


@given(st.text() | st.text("0123456789.msuhn") | st.text("0123456789-T:Z+. ") | st.from_regex(r"\d{4}-\d\d-\d\dT.*"))
@PROPERTY
def test_any_text_is_a_number_from_nothing_or_none(text: str) -> None:
    for seconds in (parse_number(text), parse_go_duration_s(text), parse_reset_s(text, NOW_S)):
        assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
    for unix_s in (parse_rfc3339_s(text), parse_http_date_s(text)):
        assert unix_s is None or math.isfinite(unix_s)
