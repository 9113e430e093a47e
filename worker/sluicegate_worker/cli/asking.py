"""A question to the store: opens it, asks, closes it; and which pools a question is about."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sluicegate.errors import InvalidRequest
from sluicegate.keys import PoolKeys
from sluicegate.names import check_name
from sluicegate.settings import resolve_settings
from sluicegate.store import Store
from sluicegate_worker.registry import list_pools
from sluicegate_worker.settings_file import resolve_redis_url_here

T = TypeVar("T")


def ask(redis_url: str | None, question: Callable[[Store], Awaitable[T]]) -> T:
    """Raises StoreUnavailable, and what the question raises."""

    async def opened() -> T:
        async with Store(resolve_redis_url_here(redis_url, None)) as store:
            return await question(store)

    return asyncio.run(opened())


async def choose_pool(store: Store, named: str | None) -> str:
    """The pool that the flag or the environment names, or the only one there is. Raises InvalidRequest."""
    name = resolve_settings(None, named, None).pool
    if name is not None:
        return await check_pool(store, name)
    names = await list_all_pools(store)
    if len(names) > 1:
        raise InvalidRequest(f"name one of the pools at {store.place} by --pool: {', '.join(names)}")
    return names[0]


async def choose_pools(store: Store, named: str | None) -> list[str]:
    """The pool that is named, or all there are. Raises InvalidRequest where there is none."""
    return await list_all_pools(store) if named is None else [await check_pool(store, named)]


async def check_pool(store: Store, name: str) -> str:
    """Returns the name; raises InvalidRequest where there is no such pool."""
    if not await store.call("HEXISTS", PoolKeys(check_name("pool", name)).fixed("config"), "version"):
        raise InvalidRequest(
            f"there is no pool {name} at {store.place}: start a dispatcher or run `sluicegate pool apply`"
        )
    return name


async def list_all_pools(store: Store) -> list[str]:
    names = await list_pools(store)
    if not names:
        raise InvalidRequest(f"there is no pool at {store.place}: start a dispatcher or run `sluicegate pool apply`")
    return names
