"""What the documents say of `scripts/bench throughput` is what was measured."""

import pytest
from msgspec import json

from bench.throughput.chart import draw_chart
from bench.throughput.command import Document, write_figures
from bench.throughput.contender import OURS
from bench.throughput.figures import find_figures, summarise
from support.source_tree import ROOT

FOLDER = ROOT / "bench" / "results"
NAMES = ("throughput", "throughput-aof")  # without and with the append-only file
LOAD = "closed:1000"


def read_document(name: str) -> Document:
    return json.decode((FOLDER / f"{name}.json").read_bytes(), type=Document)


@pytest.mark.parametrize("name", NAMES)
def test_table_and_chart_are_made_of_the_runs(name: str) -> None:
    figures = summarise(read_document(name).runs)
    assert (FOLDER / f"{name}.md").read_text() == write_figures(figures)
    assert (FOLDER / f"{name}.svg").read_text() == draw_chart(figures)


def test_the_readme_says_the_rates_and_ratios() -> None:
    documents = [read_document(name) for name in NAMES]
    rounds = [
        part.count / part.seconds
        for document in documents
        for run in document.runs
        for part in run.parts
        if run.contender == OURS and part.part.startswith(LOAD)
    ]
    ours = [found for document in documents if (found := find_figures(document.figures, OURS, LOAD)) is not None]
    assert {round(one.rate, -3) for one in ours} == {4_000}

    def span(field: str, digits: int) -> str:
        least, most = sorted(getattr(one, field) for one in ours)
        return f"{least:.{digits}f} to {most:.{digits}f}"

    said = " ".join((ROOT / "README.md").read_text().split())
    assert "about 4,000 requests of 1 kB a second" in said
    assert (
        f"in single rounds of a machine with moods {round(min(rounds), -2):,.0f} to {round(max(rounds), -2):,.0f}"
        in said
    )
    assert f"({span('of_node', 1)} times BullMQ, {span('of_best_python', 1)} times the fastest in Python)" in said
    assert f"{span('of_floor', 2)} of a bare pipeline" in said
