"""What was recorded of `scripts/bench streams` keeps the promise: 15 ms to the first byte, no stall over 250 ms."""

from math import ceil
from statistics import median

from msgspec import json

from bench.streams.command import COUNTS, Document, write_table
from support.source_tree import ROOT

FOLDER = ROOT / "bench" / "results"
FIRST_MS, STALL_MS = 15, 250


def test_the_table_is_made_of_the_runs_and_they_keep_the_promise() -> None:
    runs = json.decode((FOLDER / "streams.json").read_bytes(), type=Document).runs
    assert (FOLDER / "streams.md").read_text() == write_table(runs)
    ours = [run for run in runs if run.way == "queue"]
    assert {run.streams for run in ours} == set(COUNTS)
    assert max(run.token.most_ms for run in ours) < STALL_MS
    assert max(read_medians("first")) < FIRST_MS


def test_the_readme_says_how_late_they_are() -> None:
    said = " ".join((ROOT / "README.md").read_text().split())
    first_ms, token_ms = (ceil(max(read_medians(what))) for what in ("first", "token"))
    assert (
        f"The first byte of a streamed answer comes {first_ms} ms after the provider sent it, "
        f"later ones {token_ms} ms, with {max(COUNTS)} streams on one dispatcher"
    ) in said


def read_medians(what: str) -> list[float]:
    """Of ours, for each number of streams."""
    runs = json.decode((FOLDER / "streams.json").read_bytes(), type=Document).runs
    return [
        median(getattr(run, what).p50_ms for run in runs if (run.way, run.streams) == ("queue", count))
        for count in COUNTS
    ]
