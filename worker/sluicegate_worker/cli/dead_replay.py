"""`sluicegate dead replay` and `dead drop`: dead letters go back to where they came from, or away for good."""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import click

from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, in_portions
from sluicegate_worker.cli.dead_selection import (
    Chosen,
    Selection,
    choose,
    make_filter,
    make_selection,
    selection_options,
)
from sluicegate_worker.cli.options import json_option, redis_url_option
from sluicegate_worker.cli.outcomes import SCHEMA
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_OK, complain, print_document
from sluicegate_worker.cli.person import name_person
from sluicegate_worker.observe.request import read_requests
from sluicegate_worker.rows import DropRow
from sluicegate_worker.script_files import DROP, REPLAY

Act = Callable[[Store, str, Sequence[DropRow]], Awaitable[list[str]]]


class Verb(NamedTuple):
    """What is done with dead letters, or would be."""

    name: str
    results: tuple[str, ...]  # the first is what was wanted
    act: Act
    rehearse: Act


@click.command("replay")
@selection_options
@redis_url_option
@json_option
def replay(
    *, ids: tuple[str, ...], everything: bool, agent: str | None, reason: str | None, since: float | None,
    pool: str | None, dry_run: bool, yes: bool, redis_url: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Put dead letters back into their agents' backlogs, the oldest first.

    They keep their ids, start with no attempt used and get as much time as they had at first. They go through the
    bucket like everything that waits. What finds a full backlog stays dead.
    """
    selection = make_selection(pool, ids, make_filter(agent, reason, since), everything=everything)
    return _carry_out(REPLAYING, selection, redis_url, dry_run=dry_run, yes=yes, as_json=as_json)


@click.command("drop")
@selection_options
@redis_url_option
@json_option
def drop(
    *, ids: tuple[str, ...], everything: bool, agent: str | None, reason: str | None, since: float | None,
    pool: str | None, dry_run: bool, yes: bool, redis_url: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Delete dead letters, with the requests that are kept for replay. Their replies end as others do."""
    selection = make_selection(pool, ids, make_filter(agent, reason, since), everything=everything)
    return _carry_out(DROPPING, selection, redis_url, dry_run=dry_run, yes=yes, as_json=as_json)


def _carry_out(
    verb: Verb, selection: Selection, redis_url: str | None, *, dry_run: bool, yes: bool, as_json: bool
) -> int:
    asks = not (selection.ids or dry_run or yes)
    if asks and not sys.stdin.isatty():
        raise click.UsageError("--all asks first, and there is no terminal to ask at: say --yes, or look by --dry-run")
    chosen = ask(redis_url, lambda store: choose(store, selection))
    if asks and len(chosen) and not _confirm(verb, chosen):
        complain("nothing was changed")
        return EXIT_BAD_NEWS
    results = ask(redis_url, lambda store: _act(store, verb.rehearse if dry_run else verb.act, chosen))
    counts = Counter(word for _, word in results)
    if as_json:
        items = [{"id": one, "result": word} for one, word in results]
        told = {word: counts[word] for word in verb.results}
        print_document({"schema": SCHEMA, "dry_run": dry_run, "counts": told, "items": items})
    else:
        click.echo(f"{'would be ' if dry_run else ''}{verb.results[0]}: {counts[verb.results[0]]}")
    if selection.ids:
        return _name_failures(verb, results)
    return _count_failures(counts)


def _confirm(verb: Verb, chosen: Chosen) -> bool:
    (pool,) = chosen.letters
    return click.confirm(f"{verb.name} all {len(chosen)} of these dead letters of pool {pool}?", err=True)


async def _act(store: Store, act: Act, chosen: Chosen) -> list[tuple[str, str]]:
    results = [(one, "gone") for one in chosen.missing]
    for pool, rows in chosen.letters.items():
        for portion in in_portions(rows):
            words = await act(store, pool, portion)
            results += zip((row.id for row in portion), words, strict=True)
    return results


def _name_failures(verb: Verb, results: list[tuple[str, str]]) -> int:
    failures = [(one, word) for one, word in results if word != verb.results[0]]
    for one, word in failures:
        if word == "full":
            complain(f"request {one} stays dead: its backlog is full; try again when there is room")
        else:
            complain(f"request {one} is not dead, or nothing of it is kept: try `sluicegate result {one}`")
    return EXIT_BAD_NEWS if failures else EXIT_OK


def _count_failures(counts: Counter[str]) -> int:
    if counts["gone"]:
        complain(f"{counts['gone']} were passed over: they are not dead any more, or nothing of them is kept")
    if counts["full"]:
        complain(f"{counts['full']} stay dead, for their backlogs are full; try again when there is room")
    return EXIT_BAD_NEWS if counts["full"] else EXIT_OK


async def _replay(store: Store, pool: str, rows: Sequence[DropRow]) -> list[str]:
    words: list[bytes] = await REPLAY(store, PoolKeys(pool), (name_person(),), [(row.id,) for row in rows])
    return [word.decode() for word in words]


async def _rehearse_replay(store: Store, pool: str, rows: Sequence[DropRow]) -> list[str]:
    kept = await read_requests(store, pool, [row.id for row in rows])
    return ["gone" if isinstance(one, str) or one.item.state != "dead" else "replayed" for one in kept]


async def _drop(store: Store, pool: str, rows: Sequence[DropRow]) -> list[str]:
    words: list[bytes] = await DROP(store, PoolKeys(pool), (name_person(),), rows)
    return [word.decode() for word in words]


async def _rehearse_drop(_: Store, __: str, rows: Sequence[DropRow]) -> list[str]:
    return ["dropped"] * len(rows)


REPLAYING = Verb("replay", ("replayed", "full", "gone"), _replay, _rehearse_replay)
DROPPING = Verb("drop", ("dropped", "gone"), _drop, _rehearse_drop)
