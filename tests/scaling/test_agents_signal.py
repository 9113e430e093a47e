"""Agents follow the provider's own limit, which nobody tells us but its answers."""

from pathlib import Path

import pytest
from aiohttp import ClientSession

from support.scaled_world import Shape, start_scaled_world
from support.scaling import AGENTS, ask, start_scaler
from support.waiting import wait_until

pytestmark = [pytest.mark.full, pytest.mark.alone, pytest.mark.usefixtures("at_rest")]

WITHIN_S = 60.0


async def test_half_the_quota_carries_half_the_agents_within_a_minute(
    redis_url: str, tmp_path: Path, http: ClientSession
) -> None:
    """1,170 of 1,200 a minute are paced, six an agent; then the provider halves its limit in the middle of the load."""
    count = 120
    async with start_scaled_world(tmp_path, redis_url, Shape(rpm=1_200, call_s=0.2, concurrency=20), 1) as world:
        with (
            start_scaler(tmp_path, redis_url) as scaler,
            world.offer([row / 6 for row in range(count)]) as load,
        ):
            async with ask(scaler.address) as keda:
                await keda.comes_to("SERVING")
                await wait_until(lambda: world.simulator.count() > 6, "calls go out")
                assert await keda.wants(AGENTS) == 195
                control = world.simulator.base_url.replace("/v1", "/_sim")
                async with http.post(control, json={"rpm": 600}) as changed:
                    assert changed.status == 200

                async def is_halved() -> bool:
                    return await keda.wants(AGENTS) == 97

                await wait_until(is_halved, "the signal has halved", WITHIN_S)
            assert await load.end() == 0, load.words
        await world.assert_all_answered(count)
