"""What k8s/redis.md says of memory and disk is what `scripts/bench sizing` recorded."""

from msgspec import json

from bench.sizing.command import BODIES, STATES, Document, Size, write_table
from support.source_tree import ROOT

FOLDER = ROOT / "bench" / "results"
FOUND = json.decode((FOLDER / "sizing.json").read_bytes(), type=Document)
SAID = " ".join((ROOT / "k8s" / "redis.md").read_text().split())


def size_of(body_bytes: int, state: str) -> Size:
    return next(size for size in FOUND.sizes if (size.body_bytes, size.state) == (body_bytes, state))


def test_the_table_is_made_of_the_run() -> None:
    assert (FOLDER / "sizing.md").read_text() == write_table(FOUND)
    assert {(size.body_bytes, size.state) for size in FOUND.sizes} == {(b, s) for b in BODIES for s in STATES}


def test_the_document_says_what_was_measured() -> None:
    answered = size_of(1_000, "answered")
    for sentence in (
        f"| a waiting request of 1 kB | {size_of(1_000, 'waiting').memory_bytes:,.0f} |",
        f"| one of 100 kB | {size_of(100_000, 'waiting').memory_bytes:,.0f} |",
        f"| a dead letter of 1 kB | {size_of(1_000, 'dead').memory_bytes:,.0f} |",
        f"| an answer that is kept until its TTL: all of it, and | {answered.memory_bytes - FOUND.answer_bytes:,.0f} |",
        f"{answered.file_bytes / 1_000:.1f} kB for a body of 1 kB with an answer of 1 kB",
        f"{size_of(100_000, 'answered').file_bytes / 1_000:.1f} kB for a body of 100 kB",
        f"{FOUND.reloaded:,} waiting requests of 1 kB that was killed served again after {FOUND.reload_s:.1f} s",
    ):
        assert sentence in SAID, sentence


def test_the_formula_covers_what_was_measured() -> None:
    """1.8 kB, 0.4 kB and 2.1 kB are at least what any of them took."""
    assert max(size.memory_bytes for size in FOUND.sizes if size.state == "waiting") <= 1_800
    assert size_of(1_000, "answered").memory_bytes - FOUND.answer_bytes <= 400
    assert max(size.memory_bytes for size in FOUND.sizes if size.state == "dead") <= 2_100
    assert "waiting × 1.8 kB" in SAID
    assert "an answer + 0.4 kB" in SAID
    assert "a body + 2.1 kB" in SAID
