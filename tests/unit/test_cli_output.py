"""What commands print: one document, one line of complaint, nothing that a terminal would obey."""

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.cli.output import EXIT_STORE, escape, fail, print_document


class Row(msgspec.Struct):
    agent: str
    waiting: int | None = None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("planner-7", "planner-7"),
        ("größer, 漢字, 😀", "größer, 漢字, 😀"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("\x7f", r"\x7f"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("\u200b\ufeff\u2028", r"\u200b\ufeff\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("\udc80", r"\udc80"),
        ("\x00", r"\x00"),
        ("", ""),
    ],
)
def test_escape_shows_what_cannot_be_printed(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text())
def test_nothing_raw_passes(text: str) -> None:
    assert escape(text).isprintable()


def test_fail_says_one_line_and_exits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail("no\nserver \x1b[31m", EXIT_STORE)
    assert ended.value.code == 3
    printed = capsys.readouterr()
    assert printed.err == "sluicegate: no\\nserver \\x1b[31m\n"
    assert printed.out == ""


def test_a_document_is_one_line_of_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    print_document({"schema": 1, "items": [Row("a"), Row("ü\n", 5)], "share": math.nan})
    printed = capsysbinary.readouterr()
    assert printed.err == b""
    assert printed.out.count(b"\n") == 1
    assert json.loads(printed.out) == {
        "schema": 1,
        "items": [{"agent": "a", "waiting": None}, {"agent": "ü\n", "waiting": 5}],
        "share": None,
    }


@pytest.mark.parametrize("text", ["\x1b]0;x\x07", "\x9b31m", "\u202e", "\x7f", "\U000e0041", '"\\', "ü😀", "\u2028"])
def test_a_document_stays_the_same_without_raw_characters(
    text: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    print_document({text: text})
    printed = capsysbinary.readouterr().out
    assert json.loads(printed) == {text: text}
    assert printed.decode().rstrip("\n").isprintable()
