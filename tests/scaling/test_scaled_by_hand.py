"""Dispatchers come and go under load, told by hand: nothing is lost, nothing called twice, the rate is kept."""

from pathlib import Path

import pytest

from support.scaled_world import Shape, start_scaled_world
from support.waiting import wait_until

pytestmark = [pytest.mark.full, pytest.mark.alone, pytest.mark.usefixtures("at_rest")]

MOST = 6


async def test_a_rollout_under_load(redis_url: str, tmp_path: Path) -> None:
    """Each of three is replaced by a new one, while all of them are busy."""
    shape = Shape(rpm=1_800, call_s=0.5, concurrency=4)
    count = 300
    async with start_scaled_world(tmp_path, redis_url, shape, 3) as world:
        old = set(world.deployment.running)
        with world.offer([row / 30 for row in range(count)]) as load:
            await wait_until(lambda: world.simulator.count() > 30, "calls go out")
            await world.deployment.roll_out()
            assert load.code is None, "the load was over before the rollout was"
            assert not old & set(world.deployment.running)
            assert await load.end(50) == 0, load.words
        await world.deployment.settle()
        await world.assert_all_answered(count)


async def test_from_six_to_one_in_the_middle_of_long_calls(redis_url: str, tmp_path: Path) -> None:
    """Who leaves finishes its calls of three seconds, and what it had not sent goes out from the one that stays."""
    shape = Shape(rpm=3_000, call_s=3.0, concurrency=4)
    count = 32
    async with start_scaled_world(tmp_path, redis_url, shape, MOST) as world:
        with world.offer([0.0] * count) as load:

            async def are_busy() -> bool:
                return await world.count_in_flight() == MOST * shape.concurrency

            await wait_until(are_busy, "all are busy")
            world.deployment.scale(1)
            assert await load.end(50) == 0, load.words
        await world.deployment.settle()
        await world.assert_all_answered(count)
