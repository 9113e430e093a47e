"""What the herd benchmark keeps: its runs as they end, and the files made of them."""

import json
from pathlib import Path

import msgspec

from bench.herd.results import Keeper, sort_runs, write_results
from bench.herd.run import Run
from support.herd_runs import FINE

RUN = Run("hogs", "free", "oracle", 1, 1_200, FINE)


def test_runs_are_kept_but_for_those_that_were_impossible(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, 1_200)
    assert keeper.read() == []
    other_limit = msgspec.structs.replace(RUN, rpm=600)
    impossible = msgspec.structs.replace(RUN, measures=None, impossible="not today")
    for run in (RUN, other_limit, impossible):
        keeper.keep(run)
    assert keeper.read() == [RUN]


def test_without_a_folder_nothing_is_kept() -> None:
    keeper = Keeper(None, 1_200)
    keeper.keep(RUN)
    assert keeper.read() == []


def test_runs_are_listed_as_their_cases_are() -> None:
    counted = msgspec.structs.replace(RUN, model="counted", scenario="burst")
    direct = msgspec.structs.replace(RUN, column="direct", seed=2)
    assert sort_runs([counted, RUN, direct]) == [direct, RUN, counted]


def test_a_document_tables_and_a_chart_for_each_model_are_written(tmp_path: Path) -> None:
    write_results([RUN, msgspec.structs.replace(RUN, model="counted")], 1_200, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "herd.json", "herd.md", "herd-free.svg", "overview-free.md", "herd-counted.svg", "overview-counted.md",
    }  # fmt: skip
    document = json.loads((tmp_path / "herd.json").read_text())
    assert (document["schema"], len(document["runs"]), len(document["summaries"])) == (1, 2, 2)
