"""The doctor: looks at the settings, the servers and the pools, and says of each thing whether it is well."""

import time

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import POOLS
from sluicegate.store import Store
from sluicegate_worker.observe.checks import Check, check_server, is_loading
from sluicegate_worker.observe.pool_checks import check_pool
from sluicegate_worker.registry import list_pools
from sluicegate_worker.settings import Settings, SettingsError, policy_of
from sluicegate_worker.settings_secrets import read_api_key

_TRIAL = "#!lua flags=no-writes\nreturn 1"


def check_settings(settings: Settings) -> list[Check]:
    """A file that could be read is valid; what it names may still be missing."""
    checks = [Check("settings", True, f"valid, with pools {', '.join(settings.pools)}")]
    for name, pool in settings.pools.items():
        for upstream in pool.upstreams:
            try:
                found = read_api_key(upstream)
            except SettingsError as error:
                checks.append(Check(f"api key {name}/{upstream.name}", False, str(error), "give this process the key"))
            else:
                detail = "there" if found is not None else "none is named"
                checks.append(Check(f"api key {name}/{upstream.name}", True, detail))
    return checks


async def examine(store: Store, settings: Settings | None) -> list[Check]:
    """Raises StoreUnavailable when a server cannot be reached, or refuses to say how it is."""
    servers = await store.describe_servers()
    checks: list[Check] = []
    for place, info in servers.items():
        checks += check_server(info, time.time(), place if len(servers) > 1 else "")
    if any(is_loading(info) for info in servers.values()):
        return checks  # it answers nothing else yet
    checks.append(await _check_scripts(store))
    try:
        known = await list_pools(store)
    except StoreUnavailable as error:
        if error.answer is None:
            raise
        cure = f"delete the key {POOLS} and run `sluicegate pool apply`"
        return [*checks, Check("pools", False, f"{POOLS}: {error.answer}", cure)]
    named = settings.pools if settings is not None else {}
    pools = sorted({*known, *named})
    checks.append(Check("pools", True, ", ".join(pools) or "none yet: a dispatcher makes the first"))
    for name in pools:
        checks += await check_pool(store, name, policy_of(named[name]) if name in named else None)
    return checks


async def _check_scripts(store: Store) -> Check:
    try:
        await store.call("EVAL", _TRIAL, 0)
    except StoreUnavailable as error:
        if error.answer is None:
            raise
        return Check("scripts", False, error.answer, "allow this user EVAL and EVALSHA")
    return Check("scripts", True, "they run")
