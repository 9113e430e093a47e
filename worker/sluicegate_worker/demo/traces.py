"""Recorded traffic: a CSV of arrival times and token counts, read into what comes when."""

import csv
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
TOKENS_MAX = 10_000_000


class TraceError(Exception):
    """The trace cannot be replayed; the text is one sentence that names the file and, where there is one, the line."""


class TraceRow(NamedTuple):
    """One request of the trace, `offset_s` after the first."""

    number: int  # in the order of the file, from 0
    offset_s: float
    context_tokens: int
    generated_tokens: int


class _Entry(NamedTuple):
    at: datetime
    context_tokens: int
    generated_tokens: int


def read_trace(path: Path, speed: float = 1.0) -> list[TraceRow]:
    """All rows in the order of their times, `speed` times as fast as they were recorded. Raises TraceError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            entries = list(_parse(path, file))
    except OSError as error:
        raise TraceError(f"cannot read the trace {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TraceError(f"the trace {path} is not UTF-8 text; give a CSV file") from None
    if not entries:
        raise TraceError(f"the trace {path} has no rows below its header")
    first = min(entry.at for entry in entries)
    rows = [
        TraceRow(number, (at - first).total_seconds() / speed, context_tokens, generated_tokens)
        for number, (at, context_tokens, generated_tokens) in enumerate(entries)
    ]
    return sorted(rows, key=lambda row: row.offset_s)


def _parse(path: Path, lines: Iterable[str]) -> Iterator[_Entry]:
    reader = csv.DictReader(lines)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise TraceError(f"{path} line 1: the header has no {missing[0]}; it must name {','.join(COLUMNS)}")
        for row in reader:
            time, *counts = (row[column] for column in COLUMNS)
            if time is None or None in counts:
                raise TraceError(f"{path} line {reader.line_num}: fewer fields than the header names")
            yield _Entry(_parse_time(path, reader.line_num, time), *_parse_counts(path, reader.line_num, counts))
    except csv.Error as error:
        raise TraceError(f"{path} after line {reader.line_num}: {error}") from None


def _parse_time(path: Path, line: int, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise TraceError(f"{path} line {line}: TIMESTAMP must look like 2023-11-16 18:17:03.97, not {text!r}") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _parse_counts(path: Path, line: int, texts: Iterable[str]) -> tuple[int, int]:
    context_tokens, generated_tokens = (
        _parse_count(path, line, column, text) for column, text in zip(COLUMNS[1:], texts, strict=True)
    )
    return context_tokens, generated_tokens


def _parse_count(path: Path, line: int, column: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(TOKENS_MAX)) and int(text) <= TOKENS_MAX):
        raise TraceError(f"{path} line {line}: {column} must be a whole number up to {TOKENS_MAX}, not {text!r:.80}")
    return int(text)
