"""What tests of the whole ask for: a provider, a dispatcher, a producer, a look at what is left, the command line."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from sluicegate import AsyncProducer
from sluicegate_worker import Dispatcher
from support.commands import CommandLine
from support.leaks import assert_at_rest
from support.pools import make_settings
from support.served_pool import POOL
from support.upstream import Upstream


@pytest.fixture
def sluicegate(redis_url: str, tmp_path: Path) -> CommandLine:
    return CommandLine(redis_url, tmp_path)


@pytest.fixture
async def at_rest(client: Redis) -> AsyncIterator[None]:
    """Nothing is left in Redis when the test is over, but what may be. Ask for it first, so that it looks last."""
    yield
    await assert_at_rest(client, POOL, "other")


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    """For who talks to a provider itself."""
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def dispatcher(redis_url: str, upstream: Upstream) -> AsyncIterator[Dispatcher]:
    """Serves pool `chat` from the upstream, without a limit."""
    async with Dispatcher(make_settings(redis_url, upstream.base_url)) as running:
        yield running


@pytest.fixture
async def producer(redis_url: str) -> AsyncIterator[AsyncProducer]:
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as opened:
        yield opened
