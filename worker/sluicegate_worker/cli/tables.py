"""Tables for people: nothing that a stranger wrote acts on the terminal, and nothing is cut off in a file."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sluicegate_worker.cli.output import escape

_FILE_WIDTH = 2_000

Cell = str | int | float | bool | None


def make_console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _FILE_WIDTH, markup=False, highlight=False, emoji=False)


def make_table(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    kept = [list(row) for row in rows]
    for at, heading in enumerate(headings):
        numbers = all(isinstance(row[at], int | float) or row[at] is None for row in kept)
        table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
    for row in kept:
        table.add_row(*(Text(say(cell)) for cell in row))
    return table


def say(cell: Cell) -> str:
    match cell:
        case None:
            return "-"
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:,.1f}"
        case str():
            return escape(cell)


def say_time(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # an entry with an id of a stranger's making
        return f"{at:.0f}"
