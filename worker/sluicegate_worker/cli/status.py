"""`sluicegate status`: where things stand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from sluicegate.errors import StoreUnavailable
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, choose_pools
from sluicegate_worker.cli.options import json_option, redis_url_option
from sluicegate_worker.cli.output import escape, print_document
from sluicegate_worker.cli.tables import Cell, make_console, make_table, say
from sluicegate_worker.observe.snapshot import read_status

WATCH_S = 1.0
PLACES = ("waiting", "in_flight", "delayed", "dead")
UPSTREAM = (
    "upstream",
    "provider",
    "now/min",
    "paced/min",
    "limit/min",
    "in flight",
    "calls 60 s",
    "429s 60 s",
    "used 60 s",
    "pause",
    "breaker",
)
DISPATCHER = ("dispatcher", "alive", "in flight", "oldest s", "version")
AGENT = ("agent", "lane", "weight", "waiting", "in flight", "oldest s", "eta s", "served s")

Document = dict[str, Any]


@click.command("status")
@click.argument("pool", required=False)
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@click.option("--agents", type=click.IntRange(0, 1_000), default=20, show_default=True, help="How many agents to show.")
@redis_url_option
@json_option
def command(*, pool: str | None, watch: bool, agents: int, redis_url: str | None, as_json: bool) -> None:
    """Print where things stand, in one POOL or in all."""
    if watch and as_json:
        raise click.UsageError("--json is one document; it does not go with --watch")

    async def look(store: Store) -> Document:
        return await read_status(store, await choose_pools(store, pool), agents)

    async def look_on(store: Store) -> None:
        await _watch(make_console(), lambda: look(store))

    if watch:
        ask(redis_url, look_on)
        return
    document = ask(redis_url, look)
    if as_json:
        print_document(document)
    else:
        make_console().print(draw(document))


async def _watch(console: Console, look: Callable[[], Awaitable[Document]]) -> None:
    """The first look may fail; later ones say so and go on. Away from a terminal one picture follows the other."""
    picture = draw(await look())
    if not console.is_terminal:
        while True:
            console.print(picture)
            picture = await _look_again(look)
    with Live(picture, console=console, auto_refresh=False, screen=True) as screen:
        while True:
            screen.update(await _look_again(look), refresh=True)


async def _look_again(look: Callable[[], Awaitable[Document]]) -> RenderableType:
    await asyncio.sleep(WATCH_S)
    try:
        return draw(await look())
    except StoreUnavailable as error:
        return Text(escape(str(error)))


def draw(document: Document) -> RenderableType:
    return Group(*(part for pool in document["pools"] for part in _draw_pool(pool)))


def _draw_pool(pool: Document) -> list[RenderableType]:
    counts = "  ".join(f"{place.replace('_', ' ')} {pool[place]:,}" for place in PLACES)
    ages = f"oldest waiting {say(pool['oldest_waiting_s'])} s  next due in {say(pool['next_due_s'])} s"
    paused = "  paused by hand" if pool["paused"] else ""
    parts: list[RenderableType] = [
        Text(f"pool {escape(pool['name'])}  version {pool['settings_version']}{paused}", style="bold"),
        Text(f"{counts}  {ages}  agents waiting {pool['agents_waiting']:,}"),
    ]
    if pool["dead_by_reason"]:
        parts.append(Text("dead of " + "  ".join(f"{escape(r)} {n:,}" for r, n in pool["dead_by_reason"].items())))
    parts += ["", make_table(UPSTREAM, [_upstream_row(upstream) for upstream in pool["upstreams"]])]
    if pool["dispatchers"]:
        rows = [[d["id"], d["alive"], d["in_flight"], d["oldest_s"], d["version"]] for d in pool["dispatchers"]]
        parts += ["", make_table(DISPATCHER, rows)]
    else:
        parts += ["", Text("no dispatcher: start one with `sluicegate dispatch`")]
    if pool["agents"]:
        names = ("agent", "lane", "weight", "waiting", "in_flight", "oldest_s", "eta_s", "served_cost_s")
        parts += ["", make_table(AGENT, [[agent[name] for name in names] for agent in pool["agents"]])]
    return [*parts, ""]


def _upstream_row(upstream: Document) -> list[Cell]:
    used = upstream["utilisation_60s"]
    pause = (
        f"{upstream['pause_s']:.1f} s ({upstream['pause_reason']})" if upstream["pause_s"] else upstream["pause_reason"]
    )
    reason = upstream["breaker_reason"]
    breaker = upstream["breaker"].replace("_", " ") + (f" ({reason})" if reason else "")
    rates = [upstream[kind]["rpm"] for kind in ("actual", "paced", "limit")]
    counts = [upstream[name] for name in ("in_flight", "calls_60s", "status_429_60s")]
    return [
        upstream["name"],
        upstream["provider"],
        *rates,
        *counts,
        None if used is None else f"{used:.1%}",
        pause,
        breaker,
    ]
