"""`scripts/bench scale`: what a request costs where there are more dispatchers, larger bodies, more pools."""

from collections.abc import Callable, Mapping, Sequence

import click
import msgspec

from bench.scale.loads import RPM, load_bodies, load_dispatchers, load_pools
from bench.scale.runs import Cost, Load, describe, run_once
from bench.throughput.measure import Part

PARTS: dict[str, tuple[str, Callable[[float], list[Load]]]] = {
    "dispatchers": (f"One load at {RPM:,} requests a minute", load_dispatchers),
    "bodies": ("Bodies, there and back, as fast as it goes", load_bodies),
    "pools": ("Pools on a cluster of three primaries, as fast as it goes", load_pools),
}


class Document(msgspec.Struct, frozen=True):
    """Everything that was measured, by part."""

    rounds: int
    parts: dict[str, list[Cost]]
    schema: int = 1


@click.command("scale")
@click.option("--part", "names", multiple=True, type=click.Choice(list(PARTS)), help="All, unless given.")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.5, 600), default=5.0, show_default=True, help="Of each load.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the tables.")
def command(names: tuple[str, ...], rounds: int, seconds: float, as_json: bool) -> None:
    """What a request costs by the number of dispatchers, the size of bodies, and the number of pools on a cluster."""
    found = {name: _measure(PARTS[name][1](seconds), rounds) for name in names or PARTS}
    document = Document(rounds, found)
    click.echo(msgspec.json.encode(document).decode() if as_json else write_tables(found))


def _measure(loads: list[Load], rounds: int) -> list[Cost]:
    """Every other round the other way about, so that what the machine does meanwhile falls on all alike."""
    parts: dict[str, list[Part]] = {load.what: [] for load in loads}
    for number in range(1, rounds + 1):
        for load in loads if number % 2 else loads[::-1]:
            click.echo(f"round {number} of {rounds}: {load.what}", err=True)
            parts[load.what].append(run_once(load))
    return [describe(load, parts[load.what]) for load in loads]


def write_tables(found: Mapping[str, Sequence[Cost]]) -> str:
    return "\n".join(_write_table(PARTS[name][0], costs) for name, costs in found.items())


def _write_table(title: str, costs: Sequence[Cost]) -> str:
    lines = [
        f"| {title} | requests/s | producer µs | dispatchers µs | server µs | p50 ms | p99 ms |",
        "|---|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {cost.what} | {cost.rate:,.0f} | {cost.producer_us:,.0f} | {cost.dispatchers_us:,.0f} | "
            f"{cost.server_us:,.0f} | {cost.p50_ms:.1f} | {cost.p99_ms:.1f} |"
            for cost in costs
        ),
    ]
    return "\n".join(lines) + "\n"
