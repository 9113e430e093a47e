"""`sluicegate doctor`: whether the settings, the server and the pools are well, and what to do where they are not."""

import asyncio

import click

from sluicegate.store import Store
from sluicegate_worker.cli.asking import list_all_pools
from sluicegate_worker.cli.options import config_option, json_option, redis_url_option
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_OK, escape, print_document
from sluicegate_worker.observe.checks import Check
from sluicegate_worker.observe.doctor import check_settings, examine
from sluicegate_worker.roles import Role, describe_roles
from sluicegate_worker.settings import Settings, SettingsError
from sluicegate_worker.settings_file import find_settings_here, resolve_redis_url_here

SCHEMA = 1


@click.command("doctor")
@click.option(
    "--acl", is_flag=True, help="Print the users that the roles need, as commands for redis-cli, instead of looking."
)
@config_option
@redis_url_option
@json_option
def command(*, acl: bool, config_path: str | None, redis_url: str | None, as_json: bool) -> int:
    """Look at the settings, the server and the pools, and say what to do where something is not well."""
    url = resolve_redis_url_here(redis_url, config_path)
    settings, checks = _read_settings(config_path, redis_url)
    roles: list[Role] = []
    if acl:
        roles = describe_roles(list(settings.pools) if settings is not None else asyncio.run(_list_pools(url)))
    if acl and not as_json:
        click.echo("\n".join(role.command for role in roles))
        return EXIT_OK
    checks += asyncio.run(_examine(url, settings))
    ok = all(check.ok for check in checks)
    if as_json:
        document = {"schema": SCHEMA, "ok": ok, "checks": checks}
        print_document(document | {"acl": roles} if acl else document)
    else:
        for check in checks:
            show(check)
    return EXIT_OK if ok else EXIT_BAD_NEWS


def _read_settings(config_path: str | None, redis_url: str | None) -> tuple[Settings | None, list[Check]]:
    try:
        settings = find_settings_here(config_path, redis_url)
    except SettingsError as error:
        return None, [Check("settings", False, str(error), "correct the file, or name another with --config")]
    return settings, check_settings(settings) if settings is not None else [Check("settings", True, "no file here")]


async def _examine(url: str, settings: Settings | None) -> list[Check]:
    async with Store(url, check=False) as store:
        return await examine(store, settings)


async def _list_pools(url: str) -> list[str]:
    async with Store(url, check=False) as store:
        return await list_all_pools(store)


def show(check: Check) -> None:
    click.echo(f"{'ok     ' if check.ok else 'PROBLEM'}  {escape(check.name)}: {escape(check.detail)}")
    if check.cure:
        click.echo(f"         → {escape(check.cure)}")
