"""A trace in the form that `load --trace` reads, made up: of given arrivals, or of even ones and a burst."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

BEGAN_AT = datetime(2024, 5, 6, 23, 59, 50, tzinfo=UTC)


def write_trace(path: Path, rows: int, duration_s: float, burst: int = 0) -> None:
    """`rows` over `duration_s`; `burst` of them at the same moment."""
    even = rows - burst
    write_arrivals(path, sorted([row * duration_s / even for row in range(even)] + [duration_s / 2] * burst))


def write_arrivals(path: Path, offsets_s: Iterable[float]) -> None:
    """A row for each, in this order."""
    lines = [
        f"{BEGAN_AT + timedelta(seconds=offset_s):%Y-%m-%d %H:%M:%S.%f}0,{20 + row % 50},{1 + row % 9}"
        for row, offset_s in enumerate(offsets_s)
    ]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]) + "\n", encoding="utf-8")
