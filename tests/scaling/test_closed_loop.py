"""The real scaler is asked as KEDA would, and real dispatchers come and go as the HPA would have them, under load."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from support.autoscaling import Moment, autoscale, count_turns, list_changes
from support.generated_traffic import DAY_S, HOUR_S, SPIKE, draw_day, find_hour
from support.keda import Keda
from support.scaled_object import read_dispatchers
from support.scaled_world import ScaledWorld, Shape, start_scaled_world
from support.scaling import ask, start_scaler

pytestmark = [pytest.mark.full, pytest.mark.alone, pytest.mark.timeout(400), pytest.mark.usefixtures("at_rest")]

MOST = 6
TURNS_AN_HOUR = 4


async def scale_under_load(world: ScaledWorld, offsets_s: Sequence[float], speed: float) -> list[Moment]:
    """Until all are answered; periods, windows and the time in which a backlog is to go are `speed` times as short."""
    metadata = {"concurrency": str(world.shape.concurrency), "drainSeconds": f"{30 / speed:g}"}
    keda = Keda(read_dispatchers(MOST, metadata))
    with start_scaler(world.directory, world.redis_url) as started, world.offer(offsets_s, speed) as load:
        async with ask(started.address) as scaler:
            await scaler.comes_to("SERVING")
            moments = await autoscale(
                keda,
                world.deployment,
                lambda: scaler.poll(keda.scaled.metadata),
                speed,
                lambda: load.code is not None,
            )
        assert await load.end() == 0, load.words
    await world.deployment.settle()
    await world.assert_all_answered(len(offsets_s))
    assert world.deployment.most_at_once <= MOST
    assert all(moment.wanted is not None for moment in moments)
    changes = list_changes(moments)
    assert count_turns(changes) <= TURNS_AN_HOUR, changes
    return moments


def find_most(moments: Sequence[Moment], from_s: float, until_s: float) -> int:
    return max(moment.replicas for moment in moments if from_s <= moment.at_s < until_s)


async def test_up_with_the_load_and_down_again(redis_url: str, tmp_path: Path) -> None:
    """Two quiet minutes, five busy ones and 25 quiet ones, sixty times as fast: half a minute. The scaler is not
    as fast: its rate is that of five seconds or more, so five minutes and more of these."""
    shape = Shape(rpm=2_400, call_s=0.5, concurrency=4)
    busy = [120 + row * 300 / 175 for row in range(175)]  # 35 a second
    quiet = [row * 15.0 for row in range(128)]
    async with start_scaled_world(tmp_path, redis_url, shape, 2) as world:
        moments = await scale_under_load(world, sorted(busy + quiet), 60)
    assert find_most(moments, 0, 120) == 2
    assert find_most(moments, 120, 600) >= 4
    assert moments[-1].replicas == 2


async def test_a_day_in_four_minutes(redis_url: str, tmp_path: Path) -> None:
    """The day's load comes in two hours of the HPA's, and those thirty times as fast."""
    shape = Shape(rpm=2_400, call_s=0.5, concurrency=4)
    day_s = 2 * HOUR_S
    offsets_s = [offset_s / DAY_S * day_s for offset_s in draw_day(3_600)]
    async with start_scaled_world(tmp_path, redis_url, shape, 2) as world:
        moments = await scale_under_load(world, offsets_s, 30)
    # At first calls seem longer than they are, since their rate is not known yet; what that brought is gone by then.
    assert find_most(moments, day_s / 7, day_s / 6) <= 3
    assert find_most(moments, SPIKE[0] * day_s, SPIKE[1] * day_s) >= 4
    assert moments[-1].replicas <= 3


async def test_an_hour_of_traffic_in_three_minutes(redis_url: str, tmp_path: Path) -> None:
    """All 8,819 requests of a recorded hour, or of one like it."""
    shape = Shape(rpm=6_000, call_s=0.3, concurrency=5)
    async with start_scaled_world(tmp_path, redis_url, shape, 2) as world:
        moments = await scale_under_load(world, find_hour(), 20)
    assert find_most(moments, 0, HOUR_S) >= 4
