"""The throughput benchmark's figures: ratios within rounds, medians over them, and what is made of that."""

from xml.etree import ElementTree

import pytest

from bench.throughput.chart import draw_chart
from bench.throughput.contender import CONTENDERS
from bench.throughput.figures import Figures, Run, find_figures, summarise
from bench.throughput.measure import Part
from bench.throughput.table import COLUMNS, write_gap, write_table

LOADED = "closed:1000:3"


def make_part(rate: float, part: str = LOADED) -> Part:
    """A thousand requests at that rate. Each took the producer 1 ms, the worker 2, the server 3, and 4 reads, 5
    commands of 6 us, scripts of 7 us and 8 bytes."""
    return Part(part, 1_000, 1_000 / rate, 1.0, 2.0, 1.0, 2.0, 3.0, 4_000, 5_000, 6_000, 7_000, 8_000)


def make_runs(rates: dict[str, list[float]]) -> list[Run]:
    return [
        Run(number, name, [make_part(rate)])
        for name, of_rounds in rates.items()
        for number, rate in enumerate(of_rounds, 1)
    ]


def one(runs: list[Run], name: str = "sluicegate") -> Figures:
    found = find_figures(summarise(runs), name, "closed:1000")
    assert found is not None
    return found


def test_ratios_are_taken_within_a_round() -> None:
    """In the second round the machine was ten times as slow; the ratio of the medians would be 0.4."""
    runs = make_runs({"sluicegate": [400, 50, 600], "floor-stream": [1_000, 100, 1_000], "saq": [100, 5, 100]})
    figures = one(runs)
    assert (figures.of_floor, figures.of_best_python, figures.of_node) == (0.5, 6, None)
    assert figures.rate == pytest.approx(400)


def test_the_best_peer_is_chosen_in_each_round_and_node_stands_apart() -> None:
    runs = make_runs(
        {"sluicegate": [900, 900, 900], "saq": [100, 300, 100], "arq": [300, 100, 100], "bullmq": [450] * 3}
    )
    assert (one(runs).of_best_python, one(runs).of_node) == (3, 2)


def test_what_is_used_is_told_for_each_request() -> None:
    figures = one(make_runs({"sluicegate": [100]}))
    assert (figures.producer_s, figures.worker_s, figures.server_s, figures.cpu_s) == (1, 2, 3, 6)
    assert (figures.reads, figures.commands, figures.commands_us, figures.scripts_us) == (4, 5, 6, 7)
    assert figures.memory_bytes == 8


def test_a_contender_that_answered_nothing_is_shown_with_nothing() -> None:
    part = Part(LOADED, 0, 3.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4, 5, 6, 7, 8)
    figures = one([Run(1, "streaq", [part]), *make_runs({"floor-stream": [100]})], "streaq")
    assert (figures.rate, figures.of_floor) == (0, 0)


def test_the_table_has_a_line_for_each_and_a_dash_for_what_was_not_measured() -> None:
    lines = write_table(summarise(make_runs({"sluicegate": [1_234.4], "floor-stream": [2_000]}))).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| **Sluicegate** | 1,234 | – | 0.62 | – |")
    assert all(line.count("|") == len(COLUMNS) + 2 for line in lines)


def test_the_chart_is_xml_with_a_bar_for_each() -> None:
    chart = ElementTree.fromstring(draw_chart(summarise(make_runs({name: [100] for name in CONTENDERS}))))  # noqa: S314  # ours
    assert len(chart.findall(".//{*}rect")) == 1 + len(CONTENDERS)


def test_the_gap_to_the_floor_is_told_line_by_line() -> None:
    """Ours takes 1 ms in the producer, 2 in the worker and 3 in the server, of which 6 us are commands and 1 Lua."""
    text = write_gap(summarise(make_runs({"sluicegate": [100], "floor-stream": [400]})))
    assert "| worker: slot, call, judgement, usage, batching | 2,000 | 2,000 | 0 |" in text
    assert "| server: commands | 6 | 6 | 0 |" in text
    assert "| server: Lua around them | 1 | 1 | 0 |" in text
    assert "| server: sockets and all else | 2,993 | 2,993 | 0 |" in text
    assert "| all | 6,000 | 6,000 | 0 |" in text
    assert write_gap(summarise(make_runs({"sluicegate": [100]}))) == ""
