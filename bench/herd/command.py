"""`scripts/bench herd`: runs what is chosen of the matrix, and writes document, tables and charts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import click

from bench.herd.results import Keeper, write_document, write_markdown, write_results
from bench.herd.run import Case, Run, run_case
from bench.herd.scenarios import MODELS, list_scenarios
from bench.herd.services import COLUMNS

FOLDER = click.Path(file_okay=False, path_type=Path)
SCENARIOS = list(list_scenarios(60))


@click.command("herd")
@click.option("--scenario", "scenarios", multiple=True, type=click.Choice(SCENARIOS), help="All, unless given.")
@click.option("--column", "columns", multiple=True, type=click.Choice(list(COLUMNS)), help="All, unless given.")
@click.option("--model", "models", multiple=True, type=click.Choice(list(MODELS)), help="Both, unless given.")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="How many.")
@click.option("--rpm", type=click.IntRange(60, 6_000), default=1_200, show_default=True, help="The provider's limit.")
@click.option("--jobs", type=click.IntRange(1, 8), default=1, show_default=True, help="Runs at the same time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the tables.")
@click.option("--out", type=FOLDER, help="Write the results of all runs here, and do not repeat those that are here.")
def command(
    scenarios: tuple[str, ...],
    columns: tuple[str, ...],
    models: tuple[str, ...],
    seeds: int,
    rpm: int,
    jobs: int,
    as_json: bool,
    out: Path | None,
) -> None:
    """200 agents, one provider, the same traffic: what happens depends on what stands between them.

    A run takes from thirty to sixty seconds; the whole matrix two hours, one run at a time.
    """
    known = list_scenarios(rpm)
    cases = [
        Case(COLUMNS[column], known[scenario], MODELS[model], seed, rpm)
        for model, scenario, seed, column in product(
            models or MODELS, scenarios or known, range(1, seeds + 1), columns or COLUMNS
        )
    ]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(out, rpm)
    runs = run_cases(cases, jobs, keeper)
    if out is not None:
        everything = {run.key: run for run in [*keeper.read(), *runs]}
        write_results(list(everything.values()), rpm, out)
    click.echo(write_document(runs, rpm) if as_json else write_markdown(runs, rpm), nl=False)


def run_cases(cases: Sequence[Case], jobs: int, keeper: Keeper) -> list[Run]:
    """Those that the keeper has are not run."""
    kept = {run.key: run for run in keeper.read()}
    missing = [case for case in cases if case.key not in kept]
    # A thread runs its case from start to end: the kernel ends the children of a thread with it.
    with ThreadPoolExecutor(jobs) as pool:
        fresh = [pool.submit(_run, keeper, case) for case in missing]
        try:
            runs = kept | {case.key: run.result() for case, run in zip(missing, fresh, strict=True)}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # on Ctrl-C, what has begun is finished and no more begun
    return [runs[case.key] for case in cases]


def _run(keeper: Keeper, case: Case) -> Run:
    run = run_case(case)
    keeper.keep(run)
    click.echo(f"{' '.join(map(str, case.key))}: {run.impossible or 'done'}", err=True)
    return run
