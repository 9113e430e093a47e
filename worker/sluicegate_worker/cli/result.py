"""`sluicegate result`: the outcome of one request, whoever submitted it."""

import click

from sluicegate.keys import PoolKeys
from sluicegate.names import check_name
from sluicegate.script_files import WATCH
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, list_pools_to_search, unknown_request
from sluicegate_worker.cli.options import json_option, redis_url_option, search_option
from sluicegate_worker.cli.outcomes import SCHEMA, show_outcome
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, complain, print_document


@click.command("result")
@click.argument("request_id", metavar="ID")
@search_option
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
    for name in await list_pools_to_search(store, pool):
        state, *reply = (await WATCH(store, PoolKeys(name), ("",), [(request_id,)]))[0]
        if state != b"unknown":
            return state.decode(), reply[0] if reply else None
    raise unknown_request(store, request_id)
