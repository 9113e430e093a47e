"""`sluicegate pool`: the settings in force, and how a file's settings come into force."""

import asyncio
from typing import Any

import click
import msgspec

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, check_pool, choose_pools
from sluicegate_worker.cli.naming import NamingGroup
from sluicegate_worker.cli.options import config_option, json_option, redis_url_option
from sluicegate_worker.cli.output import escape, print_document
from sluicegate_worker.cli.person import name_person
from sluicegate_worker.policy_changes import change_policy
from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.registry import apply_policy, hold_pool, list_holds, read_policy
from sluicegate_worker.settings import Settings, SettingsError, policy_of
from sluicegate_worker.settings_file import load_settings_here

SCHEMA = 1
_CHANGE_TRIES = 5


@click.group("pool", cls=NamingGroup)
def command() -> None:
    """The settings in force."""


@command.command("apply")
@config_option
@redis_url_option
@json_option
def apply(*, config_path: str | None, redis_url: str | None, as_json: bool) -> None:
    """Put the pools of the settings file into force, for every dispatcher and producer.

    Limits, weights and retries are written to Redis; where requests go and with which key is not.
    """
    applied = asyncio.run(_apply(load_settings_here(config_path, redis_url)))
    _say(applied, as_json=as_json)


async def _apply(settings: Settings) -> list[dict[str, Any]]:
    applied = []
    async with Store(settings.redis_url) as store:
        for name, pool in settings.pools.items():
            policy = policy_of(pool)
            before = await store.call("HGET", PoolKeys(name).fixed("config"), "version")
            version, _ = await apply_policy(store, name, policy, name_person())
            changed = before is None or version != int(before)
            applied.append({"name": name, "settings_version": version, "changed": changed})
    return applied


def _say(changes: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_document({"schema": SCHEMA, "pools": changes})
        return
    for pool in changes:
        change = "now in force" if pool["changed"] else "was in force already, nothing changed"
        click.echo(f"pool {pool['name']}: version {pool['settings_version']} {change}")


@command.command("set")
@click.argument("pool")
@click.argument("changes", nargs=-1, required=True, metavar="SETTING=VALUE…")
@redis_url_option
@json_option
def set_(*, pool: str, changes: tuple[str, ...], redis_url: str | None, as_json: bool) -> None:
    """Change settings of POOL while everything runs: all of them, or where one is wrong none.

    A setting is named as in the file, below the pool: max_backlog=5000, retry.base_s=1, weights='{"planner-*": 4}',
    openai-a.rpm=600 for an upstream; an empty value takes a setting back to its default. The next `pool apply` puts the
    file's settings into force again.
    """
    _say([ask(redis_url, lambda store: _change(store, pool, changes))], as_json=as_json)


async def _change(store: Store, pool: str, changes: tuple[str, ...]) -> dict[str, Any]:
    name = await check_pool(store, pool)
    for _ in range(_CHANGE_TRIES):
        in_force = await read_policy(store, name)
        if in_force is None:
            raise StoreUnavailable(f"the policy of pool {name} is gone: run `sluicegate pool apply`")
        version, policy = in_force
        changed = change_policy(policy, changes, f"pools.{name}")
        now, ours = await apply_policy(store, name, changed, name_person(), expected=version)
        if ours:
            return {"name": name, "settings_version": now, "changed": now != version}
    raise SettingsError(f"pool {name} is being changed by others all the time; try again")


@command.command("pause")
@click.argument("pool")
@click.option("--upstream", help="Only this one; the pool's others go on.")
@redis_url_option
@json_option
def pause(*, pool: str, upstream: str | None, redis_url: str | None, as_json: bool) -> None:
    """Send nothing more from POOL until it is resumed. What is in flight ends, what comes in waits, deadlines run."""
    _hold(pool, upstream, redis_url, held=True, as_json=as_json)


@command.command("resume")
@click.argument("pool")
@click.option("--upstream", help="Only this one.")
@redis_url_option
@json_option
def resume(*, pool: str, upstream: str | None, redis_url: str | None, as_json: bool) -> None:
    """Let POOL go on: ends a pause of yours, and pauses and open breakers that its providers brought about."""
    _hold(pool, upstream, redis_url, held=False, as_json=as_json)


def _hold(pool: str, upstream: str | None, redis_url: str | None, *, held: bool, as_json: bool) -> None:
    async def hold(store: Store) -> tuple[str, bool, list[str]]:
        name = await check_pool(store, pool)
        changed = await hold_pool(store, name, upstream, name_person(), held=held)
        return name, changed, [] if held else await list_holds(store, name)

    name, changed, holds = ask(redis_url, hold)
    if as_json:
        print_document({"schema": SCHEMA, "name": name, "upstream": upstream, "paused": held, "changed": changed})
        return
    state = "is paused" if held else "goes on"
    click.echo(escape(f"{_name_held(name, upstream)} {state}{'' if changed else ', as it was'}"))
    for other in holds:
        option = f" --upstream {other}" if other else ""
        click.echo(escape(f"{_name_held(name, other)} is still paused: `sluicegate pool resume {name}{option}`"))


def _name_held(pool: str, upstream: str | None) -> str:
    return f"upstream {upstream} of pool {pool}" if upstream else f"pool {pool}"


@command.command("show")
@click.argument("pool", required=False)
@redis_url_option
@json_option
def show(*, pool: str | None, redis_url: str | None, as_json: bool) -> None:
    """Print the settings in force, of one POOL or of all, in the form of the settings file."""
    found = ask(redis_url, lambda store: _read(store, pool))
    if as_json:
        pools = [{"name": name, "settings_version": version, "policy": policy} for name, version, policy in found]
        print_document({"schema": SCHEMA, "pools": pools})
        return
    for name, version, policy in found:
        click.echo("\n".join(escape(line) for line in write_toml(name, version, policy)))


async def _read(store: Store, pool: str | None) -> list[tuple[str, int, Policy]]:
    found = []
    for name in await choose_pools(store, pool):
        in_force = await read_policy(store, name)
        if in_force is None:
            raise StoreUnavailable(f"the policy of pool {name} is gone: run `sluicegate pool apply`")
        found.append((name, *in_force))
    return found


def write_toml(name: str, version: int, policy: Policy) -> list[str]:
    """Lines of the settings file. What is not set there is left out, and where requests go is not known here."""
    settings: dict[str, Any] = msgspec.to_builtins(policy)
    upstreams, retry, breaker = (settings.pop(part) for part in ("upstreams", "retry", "breaker"))
    table = f"pools.{_write_key(name)}"
    lines = [f"# version {version}", f"[{table}]", *_write_lines(settings)]
    lines += [f"[{table}.retry]", *_write_lines(retry), f"[{table}.breaker]", *_write_lines(breaker)]
    for upstream in upstreams:
        lines += [f"[[{table}.upstreams]]", *_write_lines(upstream)]
    return [*lines, ""]


def _write_lines(settings: dict[str, Any]) -> list[str]:
    return [f"{key} = {_write_value(value)}" for key, value in settings.items() if value is not None]


def _write_value(value: object) -> str:
    """JSON's numbers, texts and lists are TOML's too."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_write_value(key)} = {_write_value(item)}" for key, item in value.items()) + "}"
    return msgspec.json.encode(value).decode()


def _write_key(name: str) -> str:
    return f'"{name}"' if "." in name else name
