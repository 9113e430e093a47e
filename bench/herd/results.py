"""What is left of a benchmark: runs kept as they end, and the document, the tables and the charts made of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

import msgspec

from bench.herd.chart import draw_chart
from bench.herd.overview import write_overview
from bench.herd.run import Run
from bench.herd.scenarios import DEADLINE_S, MODELS, list_scenarios
from bench.herd.services import COLUMNS, ORACLE, OURS
from bench.herd.stage import SERVICE_MEDIAN_S
from bench.herd.summary import summarise
from bench.herd.table import write_tables
from bench.herd.traffic import AGENTS

TITLES = {column.name: column.title for column in COLUMNS.values()}


class Keeper:
    """Runs in a file, a line each, so that a benchmark that was interrupted goes on where it was."""

    def __init__(self, folder: Path | None, rpm: int) -> None:
        self._rpm = rpm
        self._file = None if folder is None else folder / "runs.jsonl"
        self._lock = Lock()

    def read(self) -> list[Run]:
        """Those that measured something, at this limit: what was impossible may be possible now."""
        if self._file is None or not self._file.exists():
            return []
        runs = [msgspec.json.decode(line, type=Run) for line in self._file.read_bytes().splitlines()]
        return [run for run in runs if run.measures is not None and run.rpm == self._rpm]

    def keep(self, run: Run) -> None:
        if self._file is not None:
            with self._lock, self._file.open("ab") as file:
                file.write(msgspec.json.encode(run) + b"\n")


def sort_runs(runs: Sequence[Run]) -> list[Run]:
    """In the order in which models, scenarios and columns are listed, however they were chosen and came to an end."""
    models, scenarios, columns = list(MODELS), list(list_scenarios(60)), list(COLUMNS)
    return sorted(
        runs,
        key=lambda run: (
            models.index(run.model), scenarios.index(run.scenario), columns.index(run.column), run.seed
        ),
    )  # fmt: skip


def make_document(runs: Sequence[Run], rpm: int) -> Mapping[str, object]:
    return {
        "schema": 1,
        "limit_rpm": rpm,
        "agents": AGENTS,
        "deadline_s": DEADLINE_S,
        "service_median_s": SERVICE_MEDIAN_S,
        "scenarios": {scenario.name: scenario.sentence for scenario in list_scenarios(rpm).values()},
        "models": {model.name: model.sentence for model in MODELS.values()},
        "columns": {name: title.strip("*") for name, title in TITLES.items()},
        "summaries": summarise(runs, ORACLE),
        "runs": runs,
    }


def write_document(runs: Sequence[Run], rpm: int) -> str:
    return msgspec.json.format(msgspec.json.encode(make_document(runs, rpm))).decode() + "\n"


def write_markdown(runs: Sequence[Run], rpm: int) -> str:
    return write_tables(summarise(runs, ORACLE), list_scenarios(rpm), MODELS, TITLES, OURS)


def write_overview_of(runs: Sequence[Run], model: str) -> str:
    return write_overview([one for one in summarise(sort_runs(runs), ORACLE) if one.model == model], TITLES, ORACLE)


def write_results(runs: Sequence[Run], rpm: int, folder: Path) -> None:
    runs = sort_runs(runs)
    (folder / "herd.json").write_text(write_document(runs, rpm), encoding="utf-8")
    (folder / "herd.md").write_text(write_markdown(runs, rpm), encoding="utf-8")
    summaries = summarise(runs, ORACLE)
    for model in dict.fromkeys(summary.model for summary in summaries):
        chart = draw_chart([summary for summary in summaries if summary.model == model], TITLES, OURS, ORACLE)
        (folder / f"herd-{model}.svg").write_text(chart, encoding="utf-8")
        (folder / f"overview-{model}.md").write_text(write_overview_of(runs, model), encoding="utf-8")
