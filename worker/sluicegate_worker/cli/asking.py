"""A question to the store: opens it, asks, closes it; which pools it is about, and how much fits in one call."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from sluicegate.errors import InvalidRequest, UnknownRequest
from sluicegate.keys import PoolKeys
from sluicegate.names import check_name
from sluicegate.settings import resolve_settings
from sluicegate.store import Store
from sluicegate_worker.registry import list_pools
from sluicegate_worker.settings_file import resolve_redis_url_here

ROWS_AT_ONCE = 100

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


async def list_pools_to_search(store: Store, named: str | None) -> list[str]:
    """Where to look for a request by its id: in the pool that is named, or in all. Raises InvalidRequest."""
    return await list_pools(store) if named is None else [await check_pool(store, named)]


async def check_pool(store: Store, name: str) -> str:
    """Returns the name; raises InvalidRequest where there is no such pool."""
    if not await store.call("HEXISTS", PoolKeys(check_name("pool", name)).fixed("config"), "version"):
        raise InvalidRequest(
            f"there is no pool {name} at {store.place}: start a dispatcher or run `sluicegate pool apply`"
        )
    return name


def unknown_request(store: Store, request_id: str) -> UnknownRequest:
    return UnknownRequest(
        f"no request {request_id} at {store.place}: it was never accepted, or its reply is no longer kept"
    )


def in_portions(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many at a time as one script call may take."""
    return (rows[at : at + ROWS_AT_ONCE] for at in range(0, len(rows), ROWS_AT_ONCE))


async def list_all_pools(store: Store) -> list[str]:
    names = await list_pools(store)
    if not names:
        raise InvalidRequest(f"there is no pool at {store.place}: start a dispatcher or run `sluicegate pool apply`")
    return names
