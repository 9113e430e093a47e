"""One request with all that is kept of it, for people and as a document."""

from typing import Any

import click

from sluicegate_worker.cli.outcomes import SCHEMA, embed_body, print_body
from sluicegate_worker.cli.output import print_document
from sluicegate_worker.cli.tables import make_console, make_table, say, say_time
from sluicegate_worker.observe.history import Note

_LABEL_WIDTH = 16


def show_dossier(fields: dict[str, Any], body: bytes | None, *, as_json: bool) -> None:
    """`body` is None where it was not asked for; then only its size is told."""
    if as_json:
        told = {} if body is None else {"body": embed_body(body)}
        print_document({"schema": SCHEMA, **fields, **told})
        return
    for name, value in fields.items():
        if name != "history":
            click.echo(f"{name.replace('_', ' '):<{_LABEL_WIDTH}}{_say(name, value)}")
    _show_history(fields["history"])
    if body is not None:
        print_body(body)
    elif fields["body_bytes"]:
        click.echo("its body is not shown: --body")


def _say(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return say("; ".join(f"{header}: {text}" for header, text in value.items()) or None)
    if name.endswith("_at") and value is not None:
        return f"{say_time(value)} UTC"
    return say(value or None if isinstance(value, str) else value)


def _show_history(history: list[Note]) -> None:
    if not history:
        click.echo("no call has failed")
        return
    rows = [(note.attempt, say_time(note.at), note.upstream, note.status, note.error) for note in history]
    make_console().print(make_table(("call", "at (UTC)", "upstream", "status", "error"), rows))
