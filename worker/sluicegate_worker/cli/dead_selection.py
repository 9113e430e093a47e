"""Which dead letters a command is about: by their ids, or all of a pool that some filters let through."""

from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import click

from sluicegate.names import check_name
from sluicegate.store import Store
from sluicegate_worker.cli.asking import choose_pool, in_portions, list_pools_to_search
from sluicegate_worker.cli.numbers import positive
from sluicegate_worker.observe.dead import DeadFilter, find_letters, walk_dead
from sluicegate_worker.observe.request import read_requests
from sluicegate_worker.outcome import DeadReason
from sluicegate_worker.rows import DropRow

SINCE_S_MAX = 315_360_000

Command = Callable[..., Any]

_FILTERS = (
    click.option("--agent", metavar="NAME", help="Only this agent's."),
    click.option("--reason", type=click.Choice(get_args(DeadReason)), help="Only those that died of this."),
    click.option(
        "--since", type=positive(SINCE_S_MAX), metavar="SECONDS", help="Only those given up since so long ago."
    ),
)
_SELECTION = (
    click.argument("ids", metavar="[ID]...", nargs=-1),
    click.option("--all", "everything", is_flag=True, help="All there are, or all that the filters leave."),
    *_FILTERS,
    click.option(
        "--pool",
        metavar="NAME",
        help="The pool.  [default: with IDs all, else $SLUICEGATE_POOL or the only one there is]",
    ),
    click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing."),
    click.option("--yes", is_flag=True, help="Do not ask before --all."),
)


class Selection(NamedTuple):
    """What was asked for. Without ids everything that `wanted` lets through."""

    pool: str | None
    ids: list[str]
    wanted: DeadFilter


class Chosen(NamedTuple):
    """What is there of it: in each pool some letters, the oldest first, and the ids of which there is no letter."""

    letters: dict[str, list[DropRow]]
    missing: list[str]

    def __len__(self) -> int:
        return sum(map(len, self.letters.values()))


def filter_options(command: Command) -> Command:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def selection_options(command: Command) -> Command:
    for option in reversed(_SELECTION):
        command = option(command)
    return command


def make_filter(agent: str | None, reason: str | None, since: float | None) -> DeadFilter:
    return DeadFilter(agent=check_name("agent", agent) if agent is not None else None, reason=reason, since_s=since)


def make_selection(pool: str | None, ids: tuple[str, ...], wanted: DeadFilter, *, everything: bool) -> Selection:
    """Raises click.UsageError where it is not clear what is meant."""
    if bool(ids) == everything:
        raise click.UsageError("name dead letters by ID, or say --all; --agent, --reason and --since then narrow it")
    if ids and wanted != DeadFilter():
        raise click.UsageError("--agent, --reason and --since choose among --all; with IDs leave them out")
    return Selection(pool, list(dict.fromkeys(check_name("id", one) for one in ids)), wanted)


async def choose(store: Store, selection: Selection) -> Chosen:
    if not selection.ids:
        pool = await choose_pool(store, selection.pool)
        found = [
            DropRow(entry, letter.id)
            async for letters in walk_dead(store, pool, selection.wanted)
            for entry, letter in letters
        ]
        return Chosen({pool: found[::-1]}, [])
    chosen, missing = {}, selection.ids
    for name in await list_pools_to_search(store, selection.pool):
        chosen[name] = await _find(store, name, missing)
        missing = [one for one in missing if one not in {row.id for row in chosen[name]}]
    return Chosen(chosen, missing)


async def _find(store: Store, pool: str, ids: list[str]) -> list[DropRow]:
    """By the requests themselves, or, where nothing is kept of them, by looking through all letters."""
    rows: list[DropRow] = []
    for portion in in_portions(ids):
        kept = zip(portion, await read_requests(store, pool, portion), strict=True)
        rows += [
            DropRow(one.entry, name) for name, one in kept if not isinstance(one, str) and one.item.state == "dead"
        ]
    others = set(ids) - {row.id for row in rows}
    letters = await find_letters(store, pool, others) if others else {}
    return rows + [DropRow(letters[name][0], name) for name in ids if name in letters]
