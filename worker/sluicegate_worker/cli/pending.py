"""`sluicegate pending`: what waits, is in flight or delayed."""

import click

from sluicegate.keys import LANES
from sluicegate.names import check_name
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, choose_pool
from sluicegate_worker.cli.numbers import Finite
from sluicegate_worker.cli.options import cursor_option, json_option, limit_option, pool_option, redis_url_option
from sluicegate_worker.cli.output import print_document
from sluicegate_worker.cli.tables import make_console, make_table
from sluicegate_worker.observe.pending import SORTS, STATES, Filter, Page, Sort, State, read_pending
from sluicegate_worker.registry import read_policy

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


@click.group("pending")
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
        found = await read_policy(store, name)
        lease_s = found[1].lease_s if found else 0.0
        return await read_pending(store, name, lease_s, wanted, sort, limit, cursor)

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
