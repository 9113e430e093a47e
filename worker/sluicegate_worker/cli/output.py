"""What commands print, and how they end: one document, one line of complaint, and nothing raw that a stranger wrote."""

import json
import sys
from typing import NoReturn

import click
import msgspec

EXIT_OK = 0
EXIT_BAD_NEWS = 1
EXIT_USAGE = 2
EXIT_STORE = 3
EXIT_INTERRUPTED = 130


def fail(message: str, code: int) -> NoReturn:
    complain(message)
    sys.exit(code)


def complain(message: str) -> None:
    """One line on stderr, whatever the message holds; also for warnings, after which a command goes on."""
    click.echo(f"sluicegate: {escape(message)}", err=True)


def print_document(document: object) -> None:
    """One JSON document on stdout."""
    click.echo(encode_document(document).encode())


def encode_document(document: object) -> str:
    """One line of JSON; what a terminal would act on becomes one of JSON's own escapes."""
    text = msgspec.json.encode(document).decode()
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def escape(text: str) -> str:
    """Shows what is not printable as an escape: no name may move the cursor, hide text or start a line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
