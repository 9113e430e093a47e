"""`sluicegate cancel`: ends one request that is not answered yet."""

import click

from sluicegate.errors import UnknownRequest
from sluicegate.keys import PoolKeys
from sluicegate.names import check_name
from sluicegate.script_files import CANCEL
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, check_pool
from sluicegate_worker.cli.options import json_option, redis_url_option
from sluicegate_worker.cli.outcomes import SCHEMA
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_OK, print_document
from sluicegate_worker.registry import list_pools


@click.command("cancel")
@click.argument("request_id", metavar="ID")
@click.option("--pool", metavar="NAME", help="Look in this pool only.  [default: all]")
@redis_url_option
@json_option
def command(*, request_id: str, pool: str | None, redis_url: str | None, as_json: bool) -> int:
    """Cancel the request with this ID and print its final state, which is another where that was there first.

    A call in flight is no longer waited for; the provider may still carry it out.
    """
    check_name("id", request_id)
    state = ask(redis_url, lambda store: cancel(store, pool, request_id))
    if as_json:
        print_document({"schema": SCHEMA, "id": request_id, "state": state})
    else:
        click.echo(state)
    return EXIT_OK if state == "cancelled" else EXIT_BAD_NEWS


async def cancel(store: Store, pool: str | None, request_id: str) -> str:
    """Returns the final state. Raises UnknownRequest."""
    for name in [await check_pool(store, pool)] if pool is not None else await list_pools(store):
        state: bytes = (await CANCEL(store, PoolKeys(name), (), [(request_id,)]))[0]
        if state != b"unknown":
            return state.decode()
    raise UnknownRequest(
        f"no request {request_id} at {store.place}: it was never accepted, or its reply is no longer kept"
    )
