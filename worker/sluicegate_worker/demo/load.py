"""One run of load against a pool: finds the pool and its terms, lets the agents loose, shows them, keeps the books."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from sluicegate import AsyncProducer, InvalidRequest, StoreUnavailable
from sluicegate.names import check_name
from sluicegate.store import Store
from sluicegate_worker.demo.clients import Clients
from sluicegate_worker.demo.live import AGENTS_SHOWN, show
from sluicegate_worker.demo.records import Record
from sluicegate_worker.demo.report import Run
from sluicegate_worker.demo.traffic import Plan
from sluicegate_worker.observe.snapshot import read_status
from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.registry import list_pools, read_policy

POOL_WAIT_S = 10.0
POLL_S = 0.25
DEFAULT_MODEL = "sim-chat"

T = TypeVar("T")


class Load(NamedTuple):
    """What to offer, and where."""

    redis_url: str
    pool: str | None  # none: the only one there is
    plan: Plan
    deadline_s: float | None = None  # of each request; none: the pool's own


async def run_load(load: Load, *, live: bool) -> tuple[list[Record], Run]:
    """Returns when every accepted request has its outcome, or has been waited for in vain."""
    async with Store(load.redis_url) as store:
        name = await find_only_pool(store) if load.pool is None else check_name("pool", load.pool)
        policy = await wait_for_policy(store, name)
        async with AsyncProducer(load.redis_url, pool=name) as producer:
            longest_s = load.deadline_s or policy.deadline_s
            clients = Clients(producer, pick_model(policy.models), load.deadline_s, longest_s)
            async with _shown(clients, store, name, load.plan.duration_s if live else None):
                duration_s, drain_s = await clients.run(load.plan)
        dispatchers = await count_dispatchers(store, name)
    crew = load.plan.crew
    return clients.records, Run(
        duration_s=duration_s,
        drain_s=drain_s,
        ended_at=time.time(),
        group_sizes={"hogs": len(crew.hogs), "others": len(crew.others)},
        limit_rpm=sum_limits(policy),
        dispatchers=dispatchers,
    )


async def find_only_pool(store: Store) -> str:
    """The name of the one pool there is. Raises InvalidRequest when there are several, or none comes up."""
    names = await _wait_for(lambda: list_pools(store))
    if not names:
        raise InvalidRequest(f"there is no pool at {store.place}: start a dispatcher or run `sluicegate pool apply`")
    if len(names) > 1:
        raise InvalidRequest(f"name one of the pools at {store.place} by --pool: {', '.join(names)}")
    return names[0]


async def wait_for_policy(store: Store, pool: str) -> Policy:
    found = await _wait_for(lambda: read_policy(store, pool))
    if found is None:
        raise InvalidRequest(
            f"there is no pool {pool!r} at {store.place}: start a dispatcher or run `sluicegate pool apply`"
        )
    return found[1]


def pick_model(patterns: Sequence[str]) -> str:
    """A model that the pool takes, made from the first of its patterns."""
    return patterns[0].replace("*", "") or DEFAULT_MODEL


def sum_limits(policy: Policy) -> float | None:
    """Requests a minute of all upstreams together; none where one of them has no limit."""
    limits = [upstream.rpm for upstream in policy.upstreams if upstream.rpm is not None]
    return sum(limits) if len(limits) == len(policy.upstreams) else None


async def fetch_pool(store: Store, pool: str, agents_top: int) -> Mapping[str, Any] | None:
    """The pool's part of a status document; none while there is no such pool."""
    pools: Sequence[Mapping[str, Any]] = (await read_status(store, [pool], agents_top))["pools"]
    return pools[0] if pools else None


async def count_dispatchers(store: Store, pool: str) -> int | None:
    """How many are alive; none when the server does not say."""
    try:
        found = await fetch_pool(store, pool, 0)
    except StoreUnavailable:
        return None
    return None if found is None else sum(dispatcher["alive"] for dispatcher in found["dispatchers"])


async def _wait_for(ask: Callable[[], Awaitable[T]]) -> T:
    """Load may start before the first dispatcher: asks until there is an answer, or for as long as producers do."""
    for _ in range(int(POOL_WAIT_S / POLL_S)):
        if answer := await ask():
            return answer
        await asyncio.sleep(POLL_S)
    return await ask()


@asynccontextmanager
async def _shown(clients: Clients, store: Store, pool: str, duration_s: float | None) -> AsyncIterator[None]:
    if duration_s is None:
        yield
        return
    view = asyncio.create_task(show(clients, lambda: fetch_pool(store, pool, AGENTS_SHOWN), duration_s))
    try:
        yield
    finally:
        view.cancel()
        await asyncio.wait([view])
        if not view.cancelled():
            view.result()
