"""`sluicegate dead export`: dead letters with everything that is kept of them, as JSON Lines or as one document."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import click

from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, choose_pool
from sluicegate_worker.cli.dead_selection import filter_options, make_filter
from sluicegate_worker.cli.options import json_option, pool_option, redis_url_option
from sluicegate_worker.cli.outcomes import SCHEMA, embed_body
from sluicegate_worker.cli.output import encode_document
from sluicegate_worker.observe.dead import DeadFilter, DeadLetter, walk_dead
from sluicegate_worker.observe.request import Kept, describe_dead, read_requests

BODIES_AT_ONCE = 10  # one body may be large

Write = Callable[[str], Any]


@click.command("export")
@pool_option
@filter_options
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to, instead of stdout; readable by you alone."
)
@redis_url_option
@json_option
def export(
    *, pool: str | None, agent: str | None, reason: str | None, since: float | None, out: Path | None,
    redis_url: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Print dead letters with their bodies and histories, the newest first, as JSON Lines."""
    wanted = make_filter(agent, reason, since)
    if out is None:
        ask(redis_url, lambda store: _export(store, pool, wanted, click.echo, as_json=as_json))
        return
    with _replacing(out) as write:
        count = ask(redis_url, lambda store: _export(store, pool, wanted, write, as_json=as_json))
    if not as_json:
        click.echo(f"exported: {count}")


async def _export(store: Store, pool: str | None, wanted: DeadFilter, write: Write, *, as_json: bool) -> int:
    """Line by line, also the one document: all of them need not fit into memory. Returns how many there were."""
    name = await choose_pool(store, pool)
    count = 0
    if as_json:
        write(f'{{"schema":{SCHEMA},"items":[')
    async for fields in _read(store, name, wanted):
        comma = "," if as_json and count else ""
        write(comma + encode_document(fields if as_json else {"schema": SCHEMA, **fields}))
        count += 1
    if as_json:
        write("]}")
    return count


async def _read(store: Store, pool: str, wanted: DeadFilter) -> AsyncIterator[dict[str, Any]]:
    async for letters in walk_dead(store, pool, wanted):
        for at in range(0, len(letters), BODIES_AT_ONCE):
            some = letters[at : at + BODIES_AT_ONCE]
            kept = await read_requests(store, pool, [letter.id for _, letter in some], bodies=True)
            for (entry, letter), one in zip(some, kept, strict=True):
                yield _describe(entry, letter, one)


def _describe(entry: str, letter: DeadLetter, kept: Kept | str) -> dict[str, Any]:
    """A request that was replayed, and may be dead again, is not this letter's any more."""
    own = kept if not isinstance(kept, str) and kept.entry == entry else None
    return describe_dead(letter, own) | {"body": embed_body(own.body) if own else None}


@contextmanager
def _replacing(path: Path) -> Iterator[Write]:
    """Gives what writes a line. The file appears whole, or stays as it was."""
    place = path.resolve()
    if not place.parent.is_dir() or (place.exists() and not place.is_file()):
        raise click.UsageError(f"--out {path} cannot be a file there; name one in a folder that exists")
    with NamedTemporaryFile("w", encoding="utf-8", dir=place.parent, prefix=f".{place.name}.", delete=False) as file:
        try:
            yield lambda line: file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(place)
        except BaseException:
            Path(file.name).unlink()
            raise
