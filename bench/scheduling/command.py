"""`scripts/bench scheduling`: fairness of three schedulers, and what ours costs its server."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from bench.scheduling.comparison import Comparison, compare_hog, compare_trace
from bench.scheduling.cost import Cost, CrowdedPool, Size, measure_costs
from bench.scheduling.table import write_tables
from sluicegate.store import Store
from sluicegate_worker.demo.embedded import EmbeddedServer
from sluicegate_worker.demo.traces import TraceError

SIZES = (Size(200, 400), Size(10_000, 20_000), Size(100_000, 200_000), Size(200, 1_000_000))
QUICK_SIZES = (Size(200, 400), Size(5_000, 10_000), Size(200, 10_000))
BATCHES = (1, 10, 100)
PARTS = ("hog", "trace", "cost")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Memory(msgspec.Struct, frozen=True):
    """Of one request that waits, with all that is kept for its agent; its body of 500 bytes included."""

    agents: int
    requests: int
    bytes: float


class Document(msgspec.Struct, frozen=True):
    """Everything that was measured."""

    seed: int
    comparisons: list[Comparison]
    costs: list[Cost]
    memory: list[Memory]
    schema: int = 1


@click.command("scheduling")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="All, unless given.")
@click.option("--trace", type=FILE, help="A CSV with TIMESTAMP, ContextTokens and GeneratedTokens.")
@click.option("--agents", type=click.IntRange(2, 1_000), default=50, show_default=True, help="Who share the trace.")
@click.option("--minutes", type=click.FloatRange(1.5, 600), default=10, show_default=True, help="Of virtual time.")
@click.option("--rounds", type=click.IntRange(1, 10_000), default=200, show_default=True, help="Of the costs.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--quick", is_flag=True, help="Two virtual minutes, small crowds, 20 rounds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the tables.")
def command(
    parts: tuple[str, ...],
    trace: Path | None,
    agents: int,
    minutes: float,
    rounds: int,
    seed: int,
    quick: bool,
    as_json: bool,
) -> None:
    """Who is served when, by three schedulers before the same limit; and what each step of ours costs Redis.

    Fairness is measured in virtual time, with the real scripts; cost in the time that Redis counts for them.
    """
    chosen = parts or PARTS
    duration_s = 120 if quick else 60 * minutes
    rounds = 20 if quick else rounds
    comparisons = []
    if "hog" in chosen:
        comparisons.append(compare_hog(seed, duration_s))
    if "trace" in chosen:
        try:
            comparisons.append(compare_trace(trace, agents, seed, duration_s))
        except TraceError as error:
            raise click.ClickException(str(error)) from None
    costs, memory = asyncio.run(measure(QUICK_SIZES if quick else SIZES, rounds)) if "cost" in chosen else ([], [])
    document = Document(seed, comparisons, costs, memory)
    click.echo(msgspec.json.format(msgspec.json.encode(document)).decode() if as_json else write(document))


async def measure(sizes: Sequence[Size], rounds: int) -> tuple[list[Cost], list[Memory]]:
    with EmbeddedServer("--appendonly", "no") as server:
        async with Store(server.url) as store:
            pools = [CrowdedPool(store, f"crowd{place}", size) for place, size in enumerate(sizes)]
            for pool in pools:
                await pool.fill()
                click.echo(f"{pool.size.agents:,} agents, {pool.size.requests:,} requests wait", err=True)
            memory = [Memory(*pool.size, pool.memory_per_request) for pool in pools]
            return await measure_costs(pools, BATCHES, rounds, store), memory


def write(document: Document) -> str:
    memory = {(one.agents, one.requests): one.bytes for one in document.memory}
    return write_tables(document.comparisons, document.costs, memory)
