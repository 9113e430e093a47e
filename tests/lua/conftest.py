"""The bench, which drains its pool at the end of each test and finds what was left."""

from collections.abc import AsyncIterator

import pytest

from support.scripts import Bench


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    async with Bench(redis_url) as ready:
        yield ready
