"""leave: a drained dispatcher is struck from the group and holds nobody up."""

from support.scripts import SECOND_US, Bench


async def consumers(bench: Bench) -> list[str]:
    return [consumer["name"] for consumer in await bench.redis.xinfo_consumers(bench.keys.fixed("run"), "dispatchers")]


async def test_it_is_struck_from_the_group(bench: Bench) -> None:
    await bench.lease("d1")
    await bench.lease("d2")
    assert await bench.leave("d1") == 1
    assert await consumers(bench) == ["d2"]
    assert await bench.leave("d1") == 1


async def test_who_still_holds_something_stays(bench: Bench) -> None:
    await bench.submit()
    leased = await bench.take()
    assert await bench.leave("d1") == 0
    assert await consumers(bench) == ["d1"]
    await bench.settle(*leased)
    assert await bench.leave("d1") == 1


async def test_its_turn_goes_to_another_at_once(bench: Bench) -> None:
    await bench.submit("ann", 30)
    assert (await bench.lease("d1")).verdict == "turn"
    await bench.redis.delete(bench.keys.fixed("wake"))
    await bench.leave("d2")
    assert (await bench.lease("d2")).verdict == "block"  # who holds no turn gives up none
    await bench.leave("d1")
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1
    assert (await bench.lease("d2")).verdict == "turn"


async def test_its_watch_goes_to_another_at_once(bench: Bench) -> None:
    await bench.submit(not_before_us=SECOND_US)
    assert (await bench.lease("d1")).wait_us == SECOND_US
    await bench.leave("d1")
    assert (await bench.lease("d2")).wait_us == SECOND_US
