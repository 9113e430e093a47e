"""What an upstream says is made fit for logs: nothing like a key, one line, bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.redaction import CHARACTERS_MAX, redact


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("401 Incorrect API key provided: sk-proj-abc123DEF456.", "401 Incorrect API key provided: [redacted]"),
        ("Incorrect key sk-abc***********wxyz given", "Incorrect key [redacted] given"),
        ("invalid x-api-key", "invalid x-api-key"),
        ("sent Authorization: Bearer eyJhbGciOi.x.y and failed", "sent [redacted] and failed"),
        ("sent bearer eyJhbGciOi.x.y and failed", "sent [redacted] and failed"),
        ("api_key=AIzaSyD-1234567890 is wrong", "[redacted] is wrong"),
        ("?api-key=1234567890&x=1", "?[redacted]"),
        ("api key: 1234567890abcdef, sorry", "[redacted] sorry"),
        ("?key=AIzaSyD-1234567890abcdefghijklmnopqrstu failed", "?[redacted] failed"),
        ("key AIzaSyD-1234567890abcdefghijklmnopqrstu failed", "key [redacted] failed"),
        ('{"Authorization": "Bearer abcdef"}', '{"[redacted]'),
    ],
)
def test_keys_are_struck_out(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    "text", ["500 the server had an error", "task-force is risk-free", "missing key: messages", "a monkey=7", ""]
)
def test_ordinary_words_stay(text: str) -> None:
    assert redact(text) == text


def test_it_is_one_printable_line() -> None:
    assert redact("a\r\n\tb\x1b[31mc\u202ed") == "a b?[31mc?d"


def test_a_key_across_the_cut_is_not_half_shown() -> None:
    for padding in range(250, 300):
        assert "secret" not in redact("x" * padding + " sk-secretsecretsecretsecretsecretsecret")


@given(st.text(max_size=3000))
def test_whatever_comes_it_is_short_and_printable(text: str) -> None:
    line = redact(text)
    assert len(line) <= CHARACTERS_MAX
    assert line.isprintable()
