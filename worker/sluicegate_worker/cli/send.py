"""`sluicegate send`: one request by hand."""

import asyncio
import sys
from pathlib import Path

import click

from sluicegate import AsyncProducer, DeadlineExceeded, InvalidRequest, RequestCancelled, RequestDead, UnknownRequest
from sluicegate.keys import LANES, PoolKeys
from sluicegate.settings import resolve_settings
from sluicegate.store import Store
from sluicegate.submission import DEADLINE_S_MAX
from sluicegate.wire import Priority
from sluicegate_worker.cli.numbers import Finite
from sluicegate_worker.cli.options import json_option, redis_url_option
from sluicegate_worker.cli.outcomes import show_outcome
from sluicegate_worker.settings_file import resolve_redis_url_here

AGENT = "cli"
BODY_BYTES_MAX = 536_870_912  # the largest value that Redis stores
BODILESS = ("GET", "DELETE")
METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE")


@click.command("send")
@click.argument("pool")
@click.argument("path")
@click.argument("body", required=False)
@click.option("--agent", metavar="NAME", help="In whose name.  [default: $SLUICEGATE_AGENT, or cli]")
@click.option("--deadline", type=Finite(0.001, DEADLINE_S_MAX), help="Seconds that it may take.  [default: the pool's]")
@click.option("--priority", type=click.Choice(LANES), default="interactive", show_default=True, help="Its lane.")
@click.option("--key", metavar="TEXT", help="Idempotency key: sent again with the same body, it is the same request.")
@click.option(
    "--method", type=click.Choice(METHODS, case_sensitive=False), default="POST", show_default=True, help="Of HTTP."
)
@redis_url_option
@json_option
def command(
    *,
    pool: str,
    path: str,
    body: str | None,
    agent: str | None,
    deadline: float | None,
    priority: Priority,
    key: str | None,
    method: str,
    redis_url: str | None,
    as_json: bool,
) -> int:
    """Send one request to POOL and print the answer.

    PATH is relative to the provider's API root, as in /chat/completions. BODY is JSON, or @FILE, or comes on stdin.
    Ctrl-C cancels the request.
    """
    content = read_body(body, method)
    url = resolve_redis_url_here(redis_url, None)
    name = resolve_settings(None, None, agent).agent or AGENT

    async def send() -> tuple[str, bytes]:
        async with AsyncProducer(url, pool=pool, agent=name) as producer, Store(url) as store:
            ticket = await producer.submit(path, content, method=method, priority=priority, key=key, deadline=deadline)
            try:
                await ticket.reply()
            except asyncio.CancelledError:
                await ticket.cancel()
                raise
            except (DeadlineExceeded, RequestCancelled, RequestDead):
                pass  # the reply says so, and more
            reply: bytes | None = await store.call("GET", PoolKeys(pool).reply(ticket.id))
            if reply is None:
                raise UnknownRequest(f"request {ticket.id} has ended and its reply is no longer kept")
            return ticket.id, reply

    request_id, reply = asyncio.run(send())
    return show_outcome(request_id, reply, as_json=as_json)


def read_body(body: str | None, method: str) -> bytes | None:
    """The bytes to send, None for no body. Raises InvalidRequest where there is none and the method wants one."""
    if body is None and method in BODILESS:
        return None
    if body is None:
        content = b"" if sys.stdin.isatty() else sys.stdin.buffer.read(BODY_BYTES_MAX + 1)
    elif body.startswith("@"):
        try:
            with Path(body[1:]).open("rb") as file:
                content = file.read(BODY_BYTES_MAX + 1)
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"{body[1:]!r:.200} cannot be read: {getattr(error, 'strerror', error)}") from None
    else:
        content = body.encode(errors="surrogateescape")
    if not content.strip():
        raise InvalidRequest("the body is empty: give JSON as an argument, as @FILE or on stdin")
    return content
