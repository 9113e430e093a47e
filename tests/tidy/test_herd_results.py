"""What the documents show of `scripts/bench herd` is what was measured, and keeps what is promised of it."""

import json
from pathlib import Path

import msgspec
import pytest

from bench.herd.results import write_overview_of, write_results
from bench.herd.run import Run
from bench.herd.scenarios import MODELS, list_scenarios
from bench.herd.services import COLUMNS, ORACLE, OURS
from bench.herd.summary import Summary, summarise
from support.source_tree import ROOT

FOLDER = ROOT / "bench" / "results"
RPM = 1_200
SEEDS = 3
SCENARIOS = list(list_scenarios(RPM))
FORESEEN = ("burst", "hogs")  # only the load changes; in the others the provider does, of which only the oracle is told
WITHIN = 0.05


def read_runs() -> list[Run]:
    return msgspec.convert(json.loads((FOLDER / "herd.json").read_text())["runs"], list[Run])


def test_tables_and_charts_are_made_of_the_runs(tmp_path: Path) -> None:
    write_results(read_runs(), RPM, tmp_path)
    for file in tmp_path.iterdir():
        assert (FOLDER / file.name).read_text() == file.read_text(), file.name


def test_the_readme_shows_the_table_and_the_chart() -> None:
    readme = (ROOT / "README.md").read_text()
    assert write_overview_of(read_runs(), "free") in readme
    assert "(bench/results/herd-free.svg)" in readme


def test_everything_was_measured_with_each_seed() -> None:
    wanted = {(s, m, c, seed) for s in SCENARIOS for m in MODELS for c in COLUMNS for seed in range(1, SEEDS + 1)}
    assert {(run.scenario, run.model, run.column, run.seed) for run in read_runs() if run.measures} == wanted


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_sluicegate_is_close_to_the_oracle(scenario: str, model: str) -> None:
    ours, best = find_summary(scenario, model, OURS), find_summary(scenario, model, ORACLE)
    calls, light_p99 = (1.02, 1 + WITHIN) if scenario in FORESEEN else (1.10, 1.5)
    assert median(ours, "goodput") >= (1 - WITHIN) * median(best, "goodput")
    assert median(ours, "answered") >= (1 - WITHIN) * median(best, "answered")
    assert median(ours, "light_p99_s") <= light_p99 * median(best, "light_p99_s")
    assert median(ours, "sent_per_answer") <= calls


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_where_refusals_count_others_answer_less_than_half(scenario: str) -> None:
    queues = {OURS, ORACLE} if scenario == "halved" else {OURS, ORACLE, "leased"}
    answered = {column: median(find_summary(scenario, "counted", column), "answered") for column in COLUMNS}
    assert {column for column, share in answered.items() if share >= 0.5} == queues


def find_summary(scenario: str, model: str, column: str) -> Summary:
    [found] = [
        one
        for one in summarise(read_runs(), ORACLE)
        if (one.scenario, one.model, one.column) == (scenario, model, column)
    ]
    return found


def median(summary: Summary, field: str) -> float:
    value = summary.medians[field]
    assert value is not None, f"{field} of {summary.column} is never"
    return value
