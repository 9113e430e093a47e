"""The roles of those who hold Redis credentials, as ACL users that may do what their scripts do, and no more.

A script runs with its caller's rights, so a user needs every command that its scripts name; they are read off the
scripts themselves, so that the two cannot drift apart. Running a script is a right of its own (a selector), for it
would ask for writing every key that the script declares. An ACL cannot say "this script only": whoever may run scripts
may do with the role's keys whatever the role's commands can do.
"""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from sluicegate import script_files as producer_scripts
from sluicegate.keys import POOLS, PoolKeys
from sluicegate.scripts import Script
from sluicegate_worker import script_files as worker_scripts

_COMMAND = re.compile(r"(?:call\(|\{ )'([A-Z]+)'(?:, '([A-Z]+)')?")
_WITH_SUBCOMMANDS = {"XGROUP", "XINFO"}
# What every client sends: to stay connected, to see that the server is safe, and to find its way in a cluster.
_CLIENT = ("info", "ping", "select", "cluster|slots", "command", "asking")
_READ_BY_PRODUCERS = ("config", "upstream:*", "flying", "spent:*")
_WRITTEN_BY_PRODUCERS = ("sched", "ring:*", "idle", "expiry", "retry", "due", "suspects", "wake", "backlog:*")
_OWN_OF_REQUESTS = ("request:*", "reply:*", "key:*", "inbox:*", "alive:*")


class Role(Struct, frozen=True):
    """`command` makes its user, once the password in it is another."""

    role: str
    pools: list[str]
    command: str


def describe_roles(pools: Sequence[str]) -> list[Role]:
    """A producer for each pool, and one dispatcher, operator and viewer for all of them."""
    roles = [_describe_producer(pool) for pool in pools]
    everything = [f"{PoolKeys(pool).prefix}*" for pool in pools]
    for role, commands in (("dispatcher", _dispatcher_commands()), ("operator", _operator_commands())):
        roles.append(_describe(role, role, pools, [f"~{key}" for key in (*everything, POOLS)], commands))
    roles.append(
        _describe("viewer", "viewer", pools, [f"%R~{key}" for key in (*everything, POOLS)], _viewer_commands())
    )
    return roles


def _describe_producer(pool: str) -> Role:
    """It reads the policy and writes what requests are made of: no policy, no bucket, no dead letter, nothing in
    flight."""
    prefix = PoolKeys(pool).prefix
    keys = [f"~{prefix}{name}" for name in (*_WRITTEN_BY_PRODUCERS, *_OWN_OF_REQUESTS)]
    keys += [f"%R~{prefix}{name}" for name in _READ_BY_PRODUCERS]
    return _describe("producer", f"producer-{pool}", [pool], [*keys, f"%R~{POOLS}"], _producer_commands())


def _describe(role: str, name: str, pools: Sequence[str], keys: Sequence[str], commands: set[str]) -> Role:
    user = f"sluicegate-{name}"
    allowed = " ".join(f"+{command}" for command in sorted(commands))
    scripts = " ".join(f"~{PoolKeys(pool).prefix}*" for pool in pools)
    command = (
        f"ACL SETUSER {user} reset on >PASSWORD-OF-{user} resetchannels {' '.join(keys)} -@all {allowed} "
        f"(+eval +evalsha {scripts})"
    )
    return Role(role, list(pools), command)


def _producer_commands() -> set[str]:
    scripts = (producer_scripts.ENQUEUE, producer_scripts.WATCH, producer_scripts.CANCEL)
    return {*_CLIENT, *_commands_of(scripts), "hmget", "hgetall", "xread", "xtrim", "del"}


def _dispatcher_commands() -> set[str]:
    readers = (worker_scripts.PENDING, worker_scripts.GRAVEYARD, worker_scripts.SHOW)  # its metrics need the snapshot
    scripts = [script for script in vars(worker_scripts).values() if isinstance(script, Script)]
    held = {*_CLIENT, *_commands_of(script for script in scripts if script not in readers)}
    return held | {"hget", "hset", "hdel", "hmget", "hgetall", "blpop", "xinfo|groups"}


def _operator_commands() -> set[str]:
    return _dispatcher_commands() | _viewer_commands() | _commands_of((producer_scripts.WATCH, producer_scripts.CANCEL))


def _viewer_commands() -> set[str]:
    scripts = (
        worker_scripts.SNAPSHOT,
        worker_scripts.PENDING,
        worker_scripts.GRAVEYARD,
        worker_scripts.SHOW,
        worker_scripts.SURVEY,
    )
    return {*_CLIENT, *_commands_of(scripts), "hget", "hmget", "hkeys", "hexists", "hgetall", "zscan", "xinfo|groups"}


def _commands_of(scripts: Iterable[Script]) -> set[str]:
    """In the form of an ACL: `xgroup|create`."""
    found = {match for script in scripts for match in _COMMAND.findall(script.source)}
    return {f"{name}|{sub}".lower() if name in _WITH_SUBCOMMANDS else name.lower() for name, sub in found}
