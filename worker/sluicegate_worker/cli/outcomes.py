"""How a request ended, for people and as a document; `send` and `result` show it alike."""

import click
import msgspec

from sluicegate.errors import RequestDead, SluicegateError
from sluicegate.wire import open_reply, split_reply
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_OK, complain, escape, print_document

SCHEMA = 1


def show_outcome(request_id: str, reply: bytes, *, as_json: bool) -> int:
    """Prints the provider's answer, or says in one sentence why there is none. A status from 400 on is bad news too."""
    head, body = split_reply(reply)
    if as_json:
        told = {name: getattr(head, name) for name in head.__struct_fields__ if name not in ("v", "digest")}
        print_document({"schema": SCHEMA, "id": request_id, **told, "body": embed_body(body)})
    try:
        answer = open_reply(request_id, reply)
    except RequestDead as error:
        cure = f"`sluicegate dead replay {request_id}` sends it again, as long as it is kept"
        complain(str(error) if error.reason == "undecodable" else f"{error}; {cure}")
        return EXIT_BAD_NEWS
    except SluicegateError as error:
        complain(str(error))
        return EXIT_BAD_NEWS
    if not as_json:
        print_body(body)
    if answer.status >= 400:
        complain(f"the provider answered request {request_id} with status {answer.status}")
        return EXIT_BAD_NEWS
    return EXIT_OK


def embed_body(body: bytes) -> msgspec.Raw | str | None:
    """JSON stays what it is, digit by digit; anything else becomes text."""
    if not body:
        return None
    return _as_json(body) or body.decode(errors="replace")


def print_body(body: bytes) -> None:
    document = _as_json(body)
    if document is not None:
        print_document(document)
    elif body:
        click.echo("\n".join(escape(line) for line in body.decode(errors="replace").splitlines()))


def _as_json(body: bytes) -> msgspec.Raw | None:
    try:
        msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return msgspec.Raw(msgspec.json.format(body, indent=-1))
