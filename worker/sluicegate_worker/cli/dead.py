"""`sluicegate dead`: what was given up."""

from datetime import UTC, datetime
from typing import get_args

import click

from sluicegate.names import check_name
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, choose_pool
from sluicegate_worker.cli.numbers import positive
from sluicegate_worker.cli.options import cursor_option, json_option, limit_option, pool_option, redis_url_option
from sluicegate_worker.cli.output import print_document
from sluicegate_worker.cli.tables import make_console, make_table
from sluicegate_worker.observe.dead import DeadFilter, DeadPage, read_dead
from sluicegate_worker.outcome import DeadReason

HEADINGS = ("id", "agent", "reason", "status", "attempts", "dead at (UTC)", "error")
SINCE_S_MAX = 315_360_000


@click.group("dead")
def command() -> None:
    """What was given up."""


@command.command("list")
@pool_option
@click.option("--agent", metavar="NAME", help="Only this agent's.")
@click.option("--reason", type=click.Choice(get_args(DeadReason)), help="Only those that died of this.")
@click.option("--since", type=positive(SINCE_S_MAX), metavar="SECONDS", help="Only those given up since so long ago.")
@limit_option
@cursor_option
@redis_url_option
@json_option
def list_dead(
    *,
    pool: str | None,
    agent: str | None,
    reason: str | None,
    since: float | None,
    limit: int,
    cursor: str | None,
    redis_url: str | None,
    as_json: bool,
) -> None:
    """List dead letters, the newest first, page by page."""
    wanted = DeadFilter(agent=check_name("agent", agent) if agent is not None else None, reason=reason, since_s=since)

    async def read(store: Store) -> DeadPage:
        return await read_dead(store, await choose_pool(store, pool), wanted, limit, cursor)

    page = ask(redis_url, read)
    if as_json:
        print_document(page)
        return
    show(page)


def show(page: DeadPage) -> None:
    console = make_console()
    if not page.items:
        console.print("no dead letters")
        return
    rows = [(i.id, i.agent, i.reason, i.status, i.attempts, _say_time(i.dead_at), i.error) for i in page.items]
    console.print(make_table(HEADINGS, rows))
    if page.next is not None:
        console.print(f"there are more: --cursor {page.next}", soft_wrap=True)


def _say_time(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # an entry with an id of a stranger's making
        return f"{at:.0f}"
