"""`sluicegate pending`: what waits, is in flight or delayed."""

from collections import Counter
from collections.abc import Sequence

import click

from sluicegate.keys import LANES, PoolKeys
from sluicegate.names import check_name
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, choose_pool, in_portions, list_pools_to_search, unknown_request
from sluicegate_worker.cli.dossier import show_dossier
from sluicegate_worker.cli.naming import NamingGroup
from sluicegate_worker.cli.numbers import Finite
from sluicegate_worker.cli.options import (
    body_option,
    cursor_option,
    json_option,
    limit_option,
    pool_option,
    redis_url_option,
    search_option,
)
from sluicegate_worker.cli.outcomes import SCHEMA
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_OK, complain, print_document
from sluicegate_worker.cli.tables import make_console, make_table
from sluicegate_worker.observe.pending import SORTS, STATES, Filter, Page, Sort, State, collect_pending, read_pending
from sluicegate_worker.observe.request import Kept, describe_pending, read_requests
from sluicegate_worker.registry import read_policy
from sluicegate_worker.script_files import RETRY_NOW

NOT_MISSED = ("due", "waiting", "in_flight")
HEADINGS = (
    "id",
    "agent",
    "lane",
    "state",
    "attempt",
    "age s",
    "deadline in s",
    "due in s",
    "dispatcher",
    "path",
    "model",
    "last error",
)


@click.group("pending", cls=NamingGroup)
def command() -> None:
    """What waits, is in flight or delayed."""


@command.command("list")
@pool_option
@click.option("--agent", metavar="NAME", help="Only this agent's.")
@click.option("--state", type=click.Choice(list(STATES)), help="Only those in this state.")
@click.option("--lane", type=click.Choice(LANES), help="Only those of this lane.")
@click.option("--older-than", type=Finite(0), metavar="SECONDS", help="Only those accepted so long ago.")
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    help="The oldest first, by agent, or what is due first.  [default: in flight, delayed, then each agent's backlog]",
)
@limit_option
@cursor_option
@redis_url_option
@json_option
def list_pending(
    *,
    pool: str | None,
    agent: str | None,
    state: State | None,
    lane: str | None,
    older_than: float | None,
    sort: Sort | None,
    limit: int,
    cursor: str | None,
    redis_url: str | None,
    as_json: bool,
) -> None:
    """List requests that have no outcome yet, page by page.

    Requests move while they are listed: one may be seen twice, or not at all.
    """
    wanted = Filter(
        agent=check_name("agent", agent) if agent is not None else None, state=state, lane=lane, older_than_s=older_than
    )

    async def read(store: Store) -> Page:
        name = await choose_pool(store, pool)
        return await read_pending(store, name, await _read_lease_s(store, name), wanted, sort, limit, cursor)

    page = ask(redis_url, read)
    if as_json:
        print_document(page)
        return
    show(page)


def show(page: Page) -> None:
    console = make_console()
    if not page.items:
        console.print("nothing is pending")
        return
    rows = [
        (i.id, i.agent, i.lane, i.state, i.attempt, page.at - i.enqueued_at, i.deadline_at - page.at,
         None if i.due_at is None else i.due_at - page.at, i.dispatcher, i.path, i.model, i.last_error)
        for i in page.items
    ]  # fmt: skip
    console.print(make_table(HEADINGS, rows))
    if page.next is not None:
        console.print(f"there are more: --cursor {page.next}", soft_wrap=True)


@command.command("show")
@click.argument("request_id", metavar="ID")
@search_option
@body_option
@redis_url_option
@json_option
def show_pending(*, request_id: str, pool: str | None, body: bool, redis_url: str | None, as_json: bool) -> int:
    """Show everything that is kept of one request that has no outcome yet."""
    check_name("id", request_id)
    kept = ask(redis_url, lambda store: _find(store, pool, request_id, bodies=body))
    if isinstance(kept, str) or kept.item.state == "dead":
        cure = "sluicegate result" if isinstance(kept, str) else "sluicegate dead show"
        complain(f"request {request_id} is not pending, it has its outcome: `{cure} {request_id}` shows it")
        return EXIT_BAD_NEWS
    show_dossier(describe_pending(kept), kept.body if body else None, as_json=as_json)
    return EXIT_OK


async def _find(store: Store, pool: str | None, request_id: str, *, bodies: bool) -> Kept | str:
    """Raises UnknownRequest."""
    for name in await list_pools_to_search(store, pool):
        lease_s = await _read_lease_s(store, name)
        (found,) = await read_requests(store, name, [request_id], lease_s=lease_s, bodies=bodies)
        if found != "unknown":
            return found
    raise unknown_request(store, request_id)


async def _read_lease_s(store: Store, pool: str) -> float:
    found = await read_policy(store, pool)
    return found[1].lease_s if found else 0.0


@command.command("retry-now")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--agent", metavar="NAME", help="All of this agent's, instead of IDs.")
@click.option("--all", "everything", is_flag=True, help="All there are, instead of IDs.")
@click.option(
    "--pool", metavar="NAME", help="The pool.  [default: with IDs all, else $SLUICEGATE_POOL or the only one there is]"
)
@redis_url_option
@json_option
def retry_now(
    *, ids: tuple[str, ...], agent: str | None, everything: bool, pool: str | None, redis_url: str | None, as_json: bool
) -> int:
    """Make delayed requests due now.

    They still pass the bucket, and a pause of their upstream holds them like all others.
    """
    if bool(ids) == (everything or agent is not None):
        raise click.UsageError("name delayed requests by ID, or all by --all, or those of one agent by --agent")
    if ids:
        named = list(dict.fromkeys(check_name("id", one) for one in ids))
        states = ask(redis_url, lambda store: _hasten_named(store, pool, named))
    else:
        wanted = Filter(agent=check_name("agent", agent) if agent is not None else None, state="delayed")
        states = ask(redis_url, lambda store: _hasten_all(store, pool, wanted))
    missed = [one for one, state in states.items() if ids and state not in NOT_MISSED]
    counts = Counter(states.values())
    if as_json:
        items = [{"id": one, "state": state} for one, state in states.items()]
        print_document({"schema": SCHEMA, "counts": counts, "items": items})
    else:
        click.echo(", ".join(f"{state} {count}" for state, count in sorted(counts.items())) or "nothing is delayed")
    for one in missed:
        known = states[one] != "unknown"
        more = f"see `sluicegate result {one}`" if known else "it was never accepted, or is long over"
        complain(f"request {one} is not pending ({states[one]}): {more}")
    return EXIT_BAD_NEWS if missed else EXIT_OK


async def _hasten_named(store: Store, pool: str | None, ids: list[str]) -> dict[str, str]:
    states = dict.fromkeys(ids, "unknown")
    for name in await list_pools_to_search(store, pool):
        states |= await _hasten(store, name, [one for one, state in states.items() if state == "unknown"])
    return states


async def _hasten_all(store: Store, pool: str | None, wanted: Filter) -> dict[str, str]:
    name = await choose_pool(store, pool)
    _, items = await collect_pending(store, name, wanted)
    return await _hasten(store, name, [item.id for item in items])


async def _hasten(store: Store, pool: str, ids: Sequence[str]) -> dict[str, str]:
    states: dict[str, str] = {}
    for portion in in_portions(ids):
        answers: list[bytes] = await RETRY_NOW(store, PoolKeys(pool), (), [(one,) for one in portion])
        states |= zip(portion, (state.decode() for state in answers), strict=True)
    return states
