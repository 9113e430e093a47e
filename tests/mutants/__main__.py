"""Takes out each safeguard in turn and shows which test goes red: `scripts/test --mutants [NAME…]`."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from support.mutant_runs import Place, Verdict, judge
from support.mutants import FOLDER, Mutant, mutate, read_mutants

INDENT = "\n    "


async def take_out(mutant: Mutant, original: Place, directory: Path) -> Verdict:
    """Runs the mutant's tests in a copy of its own, which is gone afterwards."""
    place = Place(directory)
    try:
        await asyncio.to_thread(shutil.copytree, original.tree, place.tree)
        path = place.tree / mutant.file
        path.write_text(mutate(mutant, path.read_text("utf-8")), "utf-8")
        await place.check_imports()
        return judge(mutant.tests, await place.run(mutant.tests))
    except ValueError as error:
        return Verdict(False, f"ERROR: {error}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def run_untouched(original: Place, mutants: Mapping[str, Mutant]) -> bool:
    """Whether all tests that are named pass while every safeguard is in place."""
    tests = sorted({test for mutant in mutants.values() for test in mutant.tests})
    click.echo(f"{len(tests)} tests with every safeguard in place …")
    original.fill()
    await original.check_imports()
    run = await original.run(tests)
    if run.code != 0:
        click.echo(f"{run.output}\nsluicegate: these tests must pass before a safeguard can be taken out.", err=True)
    return run.code == 0


async def run_all(mutants: Mapping[str, Mutant], directory: Path) -> bool:
    """Whether every mutant was found out. They are reported in order, and a few are under way at a time."""
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    original = Place(directory / "untouched")
    if not await run_untouched(original, mutants):
        return False
    limit = asyncio.Semaphore(os.cpu_count() or 1)

    async def time_one(name: str, mutant: Mutant) -> tuple[Verdict, float]:
        async with limit:
            began_at = time.monotonic()
            return await take_out(mutant, original, directory / name), time.monotonic() - began_at

    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(time_one(name, mutant)) for name, mutant in mutants.items()}
        found_out = [report(name, mutants[name], *await task) for name, task in tasks.items()]
    click.echo(f"\n{sum(found_out)} of {len(found_out)} found out.")
    return all(found_out)


def report(name: str, mutant: Mutant, verdict: Verdict, took_s: float) -> bool:
    """A row of the table: the safeguard, and below it each test that fails without it."""
    tests = [f"→ {test}" for test in mutant.tests] if verdict.found_out else []
    rows = [f"{name}: {mutant.safeguard}", *tests, f"{verdict.words or 'red'}, {took_s:.1f} s"]
    click.echo(INDENT.join(rows))
    return verdict.found_out


def main(names: Sequence[str]) -> int:
    mutants = read_mutants()
    if unknown := set(names) - mutants.keys():
        click.echo(f"sluicegate: no {', '.join(sorted(unknown))} in {FOLDER}; a mutant's name is its file's.", err=True)
        return 2
    chosen = {name: mutants[name] for name in names or mutants}
    with TemporaryDirectory(prefix="sluicegate-mutants-", ignore_cleanup_errors=True) as directory:
        return 0 if asyncio.run(run_all(chosen, Path(directory).resolve())) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
