"""apply: one policy at a time is the pool's, all of it at once."""

import asyncio

from support.scripts import PRICE_US, SECOND_US, START_US, Bench, make_policy, make_upstream


async def test_the_first_makes_pool_and_group(bench: Bench) -> None:
    await bench.redis.flushall()
    bench.now_us += 1
    assert await bench.apply(text="ours") == [1, 1]
    config = await bench.redis.hgetall(bench.keys.fixed("config"))
    assert (config["version"], config["policy"], config["price_us:a"]) == ("1", "ours", str(PRICE_US))
    [group] = await bench.redis.xinfo_groups(bench.keys.fixed("run"))
    assert group["name"] == "dispatchers"


async def test_without_replace_the_first_stays(bench: Bench) -> None:
    other = make_policy(rpm=60)
    assert await bench.apply(other, replace=False) == [1, 0]
    assert await bench.redis.hget(bench.keys.fixed("config"), "price_us:a") == str(PRICE_US)
    assert await bench.apply(other) == [2, 1]
    assert await bench.redis.hget(bench.keys.fixed("config"), "price_us:a") == str(SECOND_US)


async def test_the_same_again_is_no_new_version(bench: Bench) -> None:
    assert await bench.apply() == [1, 1]
    assert await bench.apply(replace=False) == [1, 1]
    assert await bench.redis.xlen(bench.keys.fixed("audit")) == 1


async def test_nothing_of_the_old_policy_remains(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=(make_upstream("b"),)))
    config = await bench.redis.hgetall(bench.keys.fixed("config"))
    assert "price_us:b" in config
    assert not [field for field in config if field.endswith(":a")]


async def test_who_changed_it_is_written_down(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=60), text="slower")
    entries = [fields for _, fields in await bench.redis.xrange(bench.keys.fixed("audit"))]
    assert [(fields["who"], fields["what"], fields["version"]) for fields in entries] == [
        ("test", "apply", "1"), ("test", "apply", "2"),
    ]  # fmt: skip
    assert entries[1]["policy"] == "slower"


async def test_somebody_is_woken_to_follow_it(bench: Bench) -> None:
    await bench.redis.delete(bench.keys.fixed("wake"))
    await bench.apply(make_policy(rpm=60))
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1


async def test_of_many_that_come_at_once_one_is_first(bench: Bench) -> None:
    await bench.redis.flushall()
    bench.now_us += 1
    await bench.redis.set("sg:test-clock", bench.now_us, ex=3600)
    answers = await asyncio.gather(*(bench.apply(make_policy(rpm=100 + number), replace=False) for number in range(8)))
    assert sorted(answers) == [[1, 0]] * 7 + [[1, 1]]


async def test_a_group_that_is_gone_is_made_again_without_touching_the_policy(bench: Bench) -> None:
    await bench.redis.delete(bench.keys.fixed("run"))
    assert await bench.apply(make_policy(rpm=60), replace=False) == [1, 0]
    await bench.submit()
    assert len((await bench.lease()).leased) == 1


async def test_a_slower_rate_holds_from_the_next_slot_on(bench: Bench) -> None:
    await bench.submit("ann", 30)
    await bench.lease()
    await bench.apply(make_policy(rpm=600))
    assert (await bench.lease()).leased == []
    bench.advance(SECOND_US // 5)
    assert [one.slot_us - START_US for one in (await bench.lease()).leased] == [200_000, 300_000]


async def test_a_faster_rate_does_not_bring_the_next_slot_before_the_last(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=60))
    await bench.submit("ann", 30)
    [first] = await bench.take()
    assert first.slot_us == START_US
    await bench.apply(make_policy(rpm=6000))
    bench.advance(PRICE_US)
    [second] = (await bench.lease(count=1)).leased
    assert second.slot_us == START_US + PRICE_US + 9_900  # what was left of the second, at the new rate


async def test_a_limit_where_there_was_none_keeps_its_distance_to_the_last_slot(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=None))
    await bench.submit("ann", 2)
    await bench.take()
    await bench.apply(make_policy(rpm=60))
    assert (await bench.lease()).leased == []
    bench.advance(SECOND_US)
    assert [one.slot_us - START_US for one in (await bench.lease()).leased] == [SECOND_US]


async def test_in_flight_and_pause_outlive_a_change(bench: Bench) -> None:
    await bench.submit("ann", 3)
    leased = await bench.take(2)
    await bench.retry(leased[0], pause_us=SECOND_US, fault="rate")
    await bench.apply(make_policy(rpm=60))
    assert await bench.in_flight() == 1
    assert (await bench.lease()).leased == []
