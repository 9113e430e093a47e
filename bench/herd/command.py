"""`scripts/bench herd`: runs what is chosen of the matrix, and writes document, table and chart."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import click
import msgspec

from bench.herd.run import Case, Run, run_case
from bench.herd.scenarios import MODELS, list_scenarios
from bench.herd.services import COLUMNS

RPM = 1_200
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("herd")
@click.option("--scenario", "scenarios", multiple=True, type=click.Choice(list(list_scenarios(RPM))), help="All.")
@click.option("--column", "columns", multiple=True, type=click.Choice(list(COLUMNS)), help="All.")
@click.option("--model", "models", multiple=True, type=click.Choice(list(MODELS)), help="All.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="How many.")
@click.option("--jobs", type=click.IntRange(1, 8), default=1, show_default=True, help="Runs at the same time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
@click.option("--out", type=FOLDER, help="Keep runs here, do not repeat those that are there, and write all results.")
def command(
    scenarios: tuple[str, ...],
    columns: tuple[str, ...],
    models: tuple[str, ...],
    seeds: int,
    jobs: int,
    as_json: bool,
    out: Path | None,
) -> None:
    """200 agents, one provider, the same traffic: what happens depends on what stands between them.

    A run takes thirty to sixty seconds; the whole matrix, all columns, scenarios and models for three seeds, two hours.
    """
    known = list_scenarios(RPM)
    cases = [
        Case(COLUMNS[column], known[scenario], MODELS[model], seed, RPM)
        for model, scenario, seed, column in product(
            models or MODELS, scenarios or known, range(1, seeds + 1), columns or COLUMNS
        )
    ]
    runs = run_cases(cases, jobs)
    click.echo(msgspec.json.format(msgspec.json.encode(runs)).decode())


def run_cases(cases: Sequence[Case], jobs: int) -> list[Run]:
    # A thread runs its case from start to end: the kernel ends the children of a thread with it.
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(_run_and_say, cases))


def _run_and_say(case: Case) -> Run:
    run = run_case(case)
    click.echo(f"{case}: {run.impossible or 'done'}", err=True)
    return run
