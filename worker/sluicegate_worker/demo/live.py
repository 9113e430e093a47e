"""What a run looks like while it goes on: a picture that redraws itself in a terminal, plain lines anywhere else."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from sluicegate.errors import StoreUnavailable
from sluicegate_worker.demo.clients import Clients

AGENTS_SHOWN = 12
BAR_WIDTH = 40
REDRAW_S = 0.5
LINE_S = 5.0
PLACES = ("waiting", "in_flight", "delayed", "dead")

Fetch = Callable[[], Awaitable[Mapping[str, Any] | None]]


class Moment(NamedTuple):
    """What there is to show: the clients' own counts, and the pool as the snapshot has it."""

    elapsed_s: float
    duration_s: float
    offered: int
    answered: int
    pool: Mapping[str, Any]


async def show(clients: Clients, fetch_pool: Fetch, duration_s: float) -> None:
    """Shows the run on stdout until cancelled."""
    console = Console()
    loop = asyncio.get_running_loop()
    began_at = loop.time()

    async def look() -> Moment | None:
        try:
            pool = await fetch_pool()
        except StoreUnavailable:  # the clients go on without it, and so does the view
            pool = None
        if pool is None:
            return None
        elapsed_s = loop.time() - began_at
        return Moment(elapsed_s, duration_s, len(clients.records), clients.counts["ok"], pool)

    if console.is_terminal:
        await _redraw(console, look)
    else:
        await _print_lines(console, look)


async def _redraw(console: Console, look: Callable[[], Awaitable[Moment | None]]) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            moment = await look()
            if moment is not None:
                live.update(draw(moment), refresh=True)
            await asyncio.sleep(REDRAW_S)


async def _print_lines(console: Console, look: Callable[[], Awaitable[Moment | None]]) -> None:
    while True:
        await asyncio.sleep(LINE_S)
        moment = await look()
        if moment is not None:
            console.print(describe(moment), markup=False, highlight=False, soft_wrap=True)


def describe(moment: Moment) -> str:
    """The moment in one line."""
    pool = moment.pool
    rate, limit = sum_rates(pool)
    return (
        f"{moment.elapsed_s:4.0f} s  {rate:,.0f} of {limit:,.0f} requests/min  "
        f"offered {moment.offered:,}  answered {moment.answered:,}  {_say_places(pool)}"
    )


def draw(moment: Moment) -> RenderableType:
    pool = moment.pool
    rate, limit = sum_rates(pool)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("time", _bar(moment.elapsed_s, moment.duration_s), _say_phase(moment))
    facts.add_row("rate", _bar(rate, limit), f"{rate:,.0f} of {limit:,.0f} requests/min")
    facts.add_row(
        "answered", _bar(moment.answered, moment.offered), f"{moment.answered:,} of {moment.offered:,} offered"
    )
    backlog = Table.grid(padding=(0, 2))
    waiting = sorted((agent for agent in pool["agents"] if agent["waiting"]), key=lambda agent: -agent["waiting"])
    most = max((agent["waiting"] for agent in waiting), default=0)
    for agent in waiting[:AGENTS_SHOWN]:
        oldest = "" if agent["oldest_s"] is None else f"oldest {agent['oldest_s']:.1f} s"
        backlog.add_row(escape(agent["agent"]), _bar(agent["waiting"], most), f"{agent['waiting']:,}", oldest)
    return Group(facts, "", _say_places(pool), "", f"backlog of {pool['agents_waiting']:,} agents", backlog)


def sum_rates(pool: Mapping[str, Any]) -> tuple[float, float]:
    """Requests a minute of all upstreams together: those that go out, and those that may."""
    actual = sum(upstream["actual"].get("rpm") or 0 for upstream in pool["upstreams"])
    limit = sum(upstream["limit"].get("rpm") or 0 for upstream in pool["upstreams"])
    return actual, limit


def _say_phase(moment: Moment) -> str:
    if moment.elapsed_s < moment.duration_s:
        return f"{moment.elapsed_s:.0f} of {moment.duration_s:.0f} s"
    return f"draining, {moment.elapsed_s - moment.duration_s:.0f} s"


def _say_places(pool: Mapping[str, Any]) -> str:
    return "  ".join(f"{place.replace('_', ' ')} {pool[place]:,}" for place in PLACES)


def _bar(value: float, full: float) -> ProgressBar:
    return ProgressBar(total=max(full, 1), completed=min(value, max(full, 1)), width=BAR_WIDTH)
