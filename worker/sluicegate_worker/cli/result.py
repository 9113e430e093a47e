"""`sluicegate result`: the outcome of one request, whoever submitted it."""

import click

from sluicegate.errors import UnknownRequest
from sluicegate.keys import PoolKeys
from sluicegate.names import check_name
from sluicegate.script_files import WATCH
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, check_pool
from sluicegate_worker.cli.options import json_option, redis_url_option
from sluicegate_worker.cli.outcomes import SCHEMA, show_outcome
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, complain, print_document
from sluicegate_worker.registry import list_pools


@click.command("result")
@click.argument("request_id", metavar="ID")
@click.option("--pool", metavar="NAME", help="Look in this pool only.  [default: all]")
@redis_url_option
@json_option
def command(*, request_id: str, pool: str | None, redis_url: str | None, as_json: bool) -> int:
    """Print the outcome of the request with this ID; it can be asked for until its reply's time to live is over."""
    check_name("id", request_id)
    state, reply = ask(redis_url, lambda store: find_outcome(store, pool, request_id))
    if reply is not None:
        return show_outcome(request_id, reply, as_json=as_json)
    if as_json:
        print_document({"schema": SCHEMA, "id": request_id, "state": state})
    complain(f"request {request_id} is not answered yet: it is {state}")
    return EXIT_BAD_NEWS


async def find_outcome(store: Store, pool: str | None, request_id: str) -> tuple[str, bytes | None]:
    """The request's reply, or its state where there is none yet. Raises UnknownRequest."""
    for name in [await check_pool(store, pool)] if pool is not None else await list_pools(store):
        state, *reply = (await WATCH(store, PoolKeys(name), ("",), [(request_id,)]))[0]
        if state != b"unknown":
            return state.decode(), reply[0] if reply else None
    raise UnknownRequest(
        f"no request {request_id} at {store.place}: it was never accepted, or its reply is no longer kept"
    )
