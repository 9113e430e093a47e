"""`sluicegate dead`: what was given up."""

import click

from sluicegate.names import check_name
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, choose_pool, list_pools_to_search, unknown_request
from sluicegate_worker.cli.dead_export import export
from sluicegate_worker.cli.dead_replay import drop, replay
from sluicegate_worker.cli.dead_selection import filter_options, make_filter
from sluicegate_worker.cli.dossier import show_dossier
from sluicegate_worker.cli.naming import NamingGroup
from sluicegate_worker.cli.options import (
    body_option,
    cursor_option,
    json_option,
    limit_option,
    pool_option,
    redis_url_option,
    search_option,
)
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_OK, complain, print_document
from sluicegate_worker.cli.tables import make_console, make_table, say_time
from sluicegate_worker.observe.dead import DeadLetter, DeadPage, find_letters, read_dead
from sluicegate_worker.observe.request import Kept, describe_dead, read_requests

HEADINGS = ("id", "agent", "reason", "status", "attempts", "dead at (UTC)", "error")


@click.group("dead", cls=NamingGroup)
def command() -> None:
    """What was given up."""


command.add_command(export)
command.add_command(replay)
command.add_command(drop)


@command.command("list")
@pool_option
@filter_options
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
    wanted = make_filter(agent, reason, since)

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
    rows = [(i.id, i.agent, i.reason, i.status, i.attempts, say_time(i.dead_at), i.error) for i in page.items]
    console.print(make_table(HEADINGS, rows))
    if page.next is not None:
        console.print(f"there are more: --cursor {page.next}", soft_wrap=True)


@command.command("show")
@click.argument("request_id", metavar="ID")
@search_option
@body_option
@redis_url_option
@json_option
def show_dead(*, request_id: str, pool: str | None, body: bool, redis_url: str | None, as_json: bool) -> int:
    """Show everything that is kept of one dead letter."""
    check_name("id", request_id)
    letter, kept = ask(redis_url, lambda store: _find(store, pool, request_id, bodies=body))
    if letter is not None:
        own = None if isinstance(kept, str) else kept
        content = (own.body if own else b"") if body else None
        show_dossier(describe_dead(letter, own), content, as_json=as_json)
        return EXIT_OK
    if isinstance(kept, str) or kept.item.state == "dead":
        complain(
            f"request {request_id} is no dead letter, it has its outcome: `sluicegate result {request_id}` shows it"
        )
    else:
        complain(
            f"request {request_id} is not dead but {kept.item.state}: `sluicegate pending show {request_id}` shows it"
        )
    return EXIT_BAD_NEWS


async def _find(
    store: Store, pool: str | None, request_id: str, *, bodies: bool
) -> tuple[DeadLetter | None, Kept | str]:
    """The letter, and what else is kept of the request, which may be nothing. Raises UnknownRequest."""
    for name in await list_pools_to_search(store, pool):
        (kept,) = await read_requests(store, name, [request_id], bodies=bodies)
        if not isinstance(kept, str):
            return kept.letter, kept
        letters = await find_letters(store, name, [request_id])
        if letters or kept == "final":
            return letters[request_id][1] if letters else None, kept
    raise unknown_request(store, request_id)
