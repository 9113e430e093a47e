"""`scripts/bench throughput`: the contenders in turn, round after round, and what came of it."""

import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from bench.throughput.chart import draw_chart
from bench.throughput.contender import CONTENDERS, INSTALL
from bench.throughput.figures import Figures, Run, summarise
from bench.throughput.measure import MeasureError, measure
from bench.throughput.table import write_gap, write_table

FOLDER = click.Path(file_okay=False, path_type=Path)


class Document(msgspec.Struct, frozen=True):
    """Everything that was measured, and its figures."""

    seed: int
    durable: bool
    runs: list[Run]
    figures: list[Figures]
    schema: int = 1


@click.command("throughput")
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(0.5, 60), default=3.0, show_default=True, help="Of each measured load."
)
@click.option("--contender", "chosen", multiple=True, type=click.Choice(list(CONTENDERS)), help="All, unless given.")
@click.option("--aof", is_flag=True, help="With the append-only file, as it should be run; without by default.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order within each round.")
@click.option("--out", type=FOLDER, help="Where to write throughput.md, .json and .svg.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def command(
    rounds: int, seconds: float, chosen: tuple[str, ...], aof: bool, seed: int, out: Path | None, as_json: bool
) -> None:
    """Requests there and answers back: Sluicegate, other queues, and floors that do nothing else.

    One producer process, one worker process, 1 kB there and 1 kB back, a handler that answers at once.
    """
    names = chosen or tuple(CONTENDERS)
    _install([name for name in names if CONTENDERS[name].is_peer])
    runs = list(_run_all(names, rounds, seconds, seed, durable=aof))
    if not runs:
        raise click.ClickException("no contender came to an end: what each said is above")
    document = Document(seed, aof, runs, summarise(runs))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        name = "throughput-aof" if aof else "throughput"
        (out / f"{name}.md").write_text(write_figures(document.figures), encoding="utf-8")
        (out / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
        (out / f"{name}.svg").write_text(draw_chart(document.figures), encoding="utf-8")
    click.echo(msgspec.json.encode(document).decode() if as_json else write_figures(document.figures))


def _install(peers: Sequence[str]) -> None:
    """Each into an environment of its own, once."""
    if not peers:
        return
    try:
        subprocess.run([INSTALL, *peers], check=True)
    except subprocess.CalledProcessError:
        raise click.ClickException(
            f"{', '.join(peers)} cannot be installed: what is missing is said above; choose others by --contender"
        ) from None


def write_figures(figures: Sequence[Figures]) -> str:
    return "\n".join(part for part in (write_table(figures), write_gap(figures)) if part)


def _run_all(names: Sequence[str], rounds: int, seconds: float, seed: int, *, durable: bool) -> Iterator[Run]:
    """Shuffled anew in each round, so that no contender always follows the same one."""
    order, chance = list(names), random.Random(seed)
    served = [f"closed:1000:{seconds:g}", f"closed:200:{seconds:g}", "idle:200"]
    for number in range(1, rounds + 1):
        chance.shuffle(order)
        for name in order:
            click.echo(f"round {number} of {rounds}: {name}", err=True)
            try:
                yield Run(number, name, measure(CONTENDERS[name], served, ["enqueue:10000"], durable=durable))
            except MeasureError as error:
                if not CONTENDERS[name].is_peer:
                    raise click.ClickException(f"{name}: {error}") from None
                click.echo(f"left out of round {number}: {name}: {error}", err=True)
