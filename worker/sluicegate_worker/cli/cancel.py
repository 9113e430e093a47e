"""`sluicegate cancel`: ends one request that is not answered yet, or all of an agent's."""

from collections import Counter

import click

from sluicegate.keys import PoolKeys
from sluicegate.names import check_name
from sluicegate.script_files import CANCEL
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, in_portions, list_pools_to_search, unknown_request
from sluicegate_worker.cli.options import json_option, redis_url_option, search_option
from sluicegate_worker.cli.outcomes import SCHEMA
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_OK, print_document
from sluicegate_worker.observe.pending import Filter, collect_pending


@click.command("cancel")
@click.argument("request_id", metavar="[ID]", required=False)
@click.option("--agent", metavar="NAME", help="With --all: everything of this agent.")
@click.option("--all", "everything", is_flag=True, help="With --agent: all that has no outcome yet.")
@search_option
@redis_url_option
@json_option
def command(
    *,
    request_id: str | None,
    agent: str | None,
    everything: bool,
    pool: str | None,
    redis_url: str | None,
    as_json: bool,
) -> int:
    """Cancel the request with this ID and print its final state, which is another where that was there first.

    With --agent and --all instead, cancel everything of that agent that waits, is delayed or in flight now. A call in
    flight is no longer waited for; the provider may still carry it out.
    """
    if request_id is not None and agent is None and not everything:
        return _cancel_one(check_name("id", request_id), pool, redis_url, as_json=as_json)
    if request_id is None and agent is not None and everything:
        return _cancel_all(check_name("agent", agent), pool, redis_url, as_json=as_json)
    raise click.UsageError("name one request by its ID, or everything of an agent by --agent NAME --all")


def _cancel_one(request_id: str, pool: str | None, redis_url: str | None, *, as_json: bool) -> int:
    state = ask(redis_url, lambda store: cancel(store, pool, request_id))
    if as_json:
        print_document({"schema": SCHEMA, "id": request_id, "state": state})
    else:
        click.echo(state)
    return EXIT_OK if state == "cancelled" else EXIT_BAD_NEWS


def _cancel_all(agent: str, pool: str | None, redis_url: str | None, *, as_json: bool) -> int:
    async def cancel_everywhere(store: Store) -> Counter[str]:
        return sum(
            [await cancel_agent(store, name, agent) for name in await list_pools_to_search(store, pool)], Counter()
        )

    states = ask(redis_url, cancel_everywhere)
    if as_json:
        print_document({"schema": SCHEMA, "agent": agent, "states": states})
        return EXIT_OK
    for state, count in sorted(states.items()):
        click.echo(f"{state} {count}")
    if not states:
        click.echo(f"nothing of agent {agent} is pending")
    return EXIT_OK


async def cancel(store: Store, pool: str | None, request_id: str) -> str:
    """Returns the final state. Raises UnknownRequest."""
    for name in await list_pools_to_search(store, pool):
        state: bytes = (await CANCEL(store, PoolKeys(name), (), [(request_id,)]))[0]
        if state != b"unknown":
            return state.decode()
    raise unknown_request(store, request_id)


async def cancel_agent(store: Store, pool: str, agent: str) -> Counter[str]:
    """How many came to which final state. What moves while it is listed can be overlooked, so it is listed until
    nothing is left of what there was at first, twice in a row."""
    states: Counter[str] = Counter()
    seen: set[str] = set()
    began_s, in_vain = 0.0, 0
    while in_vain < 2:
        now_s, items = await collect_pending(store, pool, Filter(agent=agent))
        began_s = began_s or now_s
        ids = [item.id for item in items if item.enqueued_at <= began_s and item.id not in seen]
        in_vain = 0 if ids else in_vain + 1
        seen.update(ids)
        for portion in in_portions(ids):
            answers: list[bytes] = await CANCEL(store, PoolKeys(pool), (), [(one,) for one in portion])
            states.update(state.decode() for state in answers)
    return states
