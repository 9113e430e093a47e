"""What tests of faults ask for: a server of their own that can be broken, and a client of it."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from support.leaks import assert_sound
from support.restarting import RestartingServer


@pytest.fixture
def own_server() -> Iterator[RestartingServer]:
    with RestartingServer() as server:
        yield server
        assert_sound(server.url)


@pytest.fixture
async def own_client(own_server: RestartingServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_server.url, protocol=2) as connected:
        yield connected
