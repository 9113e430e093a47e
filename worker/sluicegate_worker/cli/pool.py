"""`sluicegate pool`: the settings in force, and how a file's settings come into force."""

import asyncio
from typing import Any

import click
import msgspec

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.cli.asking import ask, choose_pools
from sluicegate_worker.cli.naming import NamingGroup
from sluicegate_worker.cli.options import config_option, json_option, redis_url_option
from sluicegate_worker.cli.output import complain, escape, print_document
from sluicegate_worker.cli.person import name_person
from sluicegate_worker.policy_settings import Policy, not_in_force
from sluicegate_worker.registry import apply_policy, read_policy
from sluicegate_worker.settings import Settings, policy_of
from sluicegate_worker.settings_file import load_settings_here

SCHEMA = 1


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
    for pool in applied:
        for name in pool["not_in_force"]:
            complain(f"pool {pool['name']}: {name} is set but not enforced in this version")
    if as_json:
        print_document({"schema": SCHEMA, "pools": applied})
        return
    for pool in applied:
        change = "now in force" if pool["changed"] else "was in force already, nothing changed"
        click.echo(f"pool {pool['name']}: version {pool['settings_version']} {change}")


async def _apply(settings: Settings) -> list[dict[str, Any]]:
    applied = []
    async with Store(settings.redis_url) as store:
        for name, pool in settings.pools.items():
            policy = policy_of(pool)
            before = await store.call("HGET", PoolKeys(name).fixed("config"), "version")
            version, _ = await apply_policy(store, name, policy, name_person(), replace=True)
            changed = before is None or version != int(before)
            applied.append(
                {"name": name, "settings_version": version, "changed": changed, "not_in_force": not_in_force(policy)}
            )
    return applied


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
    upstreams, retry = settings.pop("upstreams"), settings.pop("retry")
    table = f"pools.{_write_key(name)}"
    lines = [f"# version {version}", f"[{table}]", *_write_lines(settings), f"[{table}.retry]", *_write_lines(retry)]
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
