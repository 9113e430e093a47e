"""`scripts/bench scale`: the same load on one dispatcher and on many, in turn, and what a request costs each time."""

from collections.abc import Sequence
from statistics import median

import click
import msgspec

from bench.throughput.contender import SETTINGS, make_ours
from bench.throughput.measure import Part, measure

OUTSTANDING = 200
RPM = 24_000  # what a large customer's limit is; far below what one dispatcher can do
DISPATCHERS = (1, 4, 16, 64)


class Run(msgspec.Struct, frozen=True):
    """So many dispatchers under the load of one round; `worker_s` of the part is of them all."""

    round: int
    dispatchers: int
    part: Part

    @property
    def server_us(self) -> float:
        return 1e6 * self.part.server_s / self.part.count

    @property
    def dispatchers_us(self) -> float:
        return 1e6 * self.part.worker_s / self.part.count


class Document(msgspec.Struct, frozen=True):
    """Everything that was measured."""

    rpm: int
    runs: list[Run]
    schema: int = 1


@click.command("scale")
@click.option("--dispatchers", multiple=True, type=click.IntRange(1, 200), default=DISPATCHERS, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.5, 600), default=10.0, show_default=True, help="Of each load.")
@click.option("--rpm", type=click.IntRange(60, 60_000_000), default=RPM, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def command(dispatchers: tuple[int, ...], rounds: int, seconds: float, rpm: int, as_json: bool) -> None:
    """What a request costs the server and all dispatchers together, by how many there are, at one rate."""
    ours = make_ours(SETTINGS.replace("rpm = 60_000_000", f"rpm = {rpm}"))
    runs = []
    for number in range(1, rounds + 1):
        for count in dispatchers if number % 2 else reversed(dispatchers):
            click.echo(f"round {number} of {rounds}: {count} dispatchers", err=True)
            [part] = measure(ours, [f"closed:{OUTSTANDING}:{seconds:g}"], durable=False, workers=count)
            runs.append(Run(number, count, part))
    click.echo(msgspec.json.encode(Document(rpm, runs)).decode() if as_json else write_table(runs, dispatchers))


def write_table(runs: Sequence[Run], dispatchers: Sequence[int]) -> str:
    """Medians over the rounds."""
    lines = ["| dispatchers | requests/s | server µs | dispatchers µs | p50 ms | p99 ms |", "|--:|--:|--:|--:|--:|--:|"]
    for count in dispatchers:
        mine = [run for run in runs if run.dispatchers == count]
        rate = median(run.part.count / run.part.seconds for run in mine)
        p50_ms, p99_ms = median(run.part.p50_ms for run in mine), median(run.part.p99_ms for run in mine)
        server_us, dispatchers_us = median(run.server_us for run in mine), median(run.dispatchers_us for run in mine)
        lines.append(
            f"| {count} | {rate:,.0f} | {server_us:,.0f} | {dispatchers_us:,.0f} | {p50_ms:.1f} | {p99_ms:.1f} |"
        )
    return "\n".join(lines) + "\n"
