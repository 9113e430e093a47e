"""What every test may ask for: a server, a clean database, a client, a cluster; and the two tiers.

Each test that used a server ends with a look at what it left there.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from sluicegate_worker.demo import embedded
from sluicegate_worker.demo.embedded import EmbeddedServer
from sluicegate_worker.demo.embedded_cluster import EmbeddedCluster
from support.leaks import assert_sound
from support.scripts import Bench

pytest_plugins = ["support.skipping", "support.surroundings"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long tier too")
    parser.addoption("--server", type=Path, metavar="FILE", help="run on this redis-server or valkey-server")


def pytest_configure(config: pytest.Config) -> None:
    chosen: Path | None = config.getoption("--server")
    if chosen is not None:
        embedded.find_binary = chosen.resolve  # before any test's module is imported


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    long_tier = [item for item in items if item.get_closest_marker("full")]
    items[:] = [item for item in items if item not in long_tier]
    config.hook.pytest_deselected(items=long_tier)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer("--appendonly", "no") as running:
        yield running


@pytest.fixture
def redis_url(server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The server, empty. What a test leaves there must agree with itself, unless the test is marked `damages`."""
    with Redis.from_url(server.url, protocol=2) as client:
        client.flushall()
    yield server.url
    if not request.node.get_closest_marker("damages"):
        assert_sound(server.url)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[AsyncRedis]:
    async with AsyncRedis.from_url(redis_url, protocol=2) as connected:
        yield connected


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster() as running:
        yield running


@pytest.fixture
def cluster(running_cluster: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    """Three primaries, empty; the same holds for them."""
    running_cluster.flush()
    yield running_cluster
    assert_sound(*(node.url for node in running_cluster.nodes))


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    """The scripts by a clock of their own; drains its pool at the end of each test and finds what was left."""
    async with Bench(redis_url) as ready:
        yield ready
