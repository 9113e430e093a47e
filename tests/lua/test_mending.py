"""mending: whatever other hands did to a pool, each request that it had accepted still gets its one outcome."""

from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from sluicegate.errors import StoreUnavailable
from sluicegate.keys import TYPES, type_of
from sluicegate.store import Store
from sluicegate_worker.script_files import FORGET, PUT_ASIDE
from support.scripts import SECOND_US, START_US, Bench, make_policy
from support.stored import read_all, read_whole

LAST_ID = "18446744073709551615-18446744073709551615"
TWO_WEEKS_MS = 1_209_600_000
FIXED = [name for name in TYPES if "<" not in name]
OTHERS = ["ring:interactive", "ring:batch", "upstream:a", "backlog:interactive:ann", "inbox:p1", "reply:one", "key:x:y"]
PLANTED = [(name, type_) for name in FIXED + OTHERS for type_ in ("string", "set") if type_of(name) != type_]


async def make_busy(bench: Bench) -> str:
    """A pool with requests in every place. Returns which is dead."""
    await bench.submit("ann", 6)
    await bench.submit("ann", key="k")
    await bench.submit("bob", lane="batch")
    await bench.submit("bob", not_before_us=2 * SECOND_US)
    settled, buried, retried, _ = await bench.take(4)
    await bench.settle(settled)
    await bench.bury(buried)
    await bench.retry(retried, delay_us=3 * SECOND_US)
    return buried.id


async def forget_dead(bench: Bench, request_id: str) -> None:
    """With their stream the letters are gone; what is kept of their requests would end by age."""
    await bench.redis.delete(bench.keys.request(request_id))


async def plant(client: Redis, key: str, type_: str) -> Any:
    await client.delete(key)
    await (client.set(key, "planted") if type_ == "string" else client.sadd(key, "planted"))
    return await read_whole(client, key)


async def test_a_sound_pool_is_left_alone(client: Redis, bench: Bench) -> None:
    await make_busy(bench)
    before = await read_all(client)
    assert await bench.mend() == []
    assert await read_all(client) == before


@pytest.mark.parametrize(("name", "planted"), PLANTED)
async def test_a_key_of_the_wrong_type_is_put_aside(client: Redis, bench: Bench, name: str, planted: str) -> None:
    dead = await make_busy(bench)
    key, aside = bench.keys.fixed(name), bench.keys.fixed(f"aside:{name}")
    foreign = await plant(client, key, planted)
    [sentence] = [one for one in await bench.mend() if one.startswith(f"{name} held a {planted} instead of a ")]
    assert f"it is now aside:{name}" in sentence
    assert await read_whole(client, aside) == foreign
    assert TWO_WEEKS_MS - 60_000 < await client.pttl(aside) <= TWO_WEEKS_MS
    if name == "dead":
        await forget_dead(bench, dead)
    if name == "config":
        assert "the policy comes from the dispatcher's file" in sentence
        await bench.apply()
    assert await bench.mend() == []
    await bench.enqueue(bench.order("new"))


async def test_everything_at_once(client: Redis, bench: Bench) -> None:
    await forget_dead(bench, await make_busy(bench))
    for name in FIXED + OTHERS[:4]:
        await plant(client, bench.keys.fixed(name), "set")
    assert len(await bench.mend()) >= len(FIXED) + 4
    await bench.apply()
    assert await bench.mend() == []
    assert await bench.counter("waiting") == 4


async def test_a_damaged_request_and_its_reply_leave_the_others_alone(client: Redis, bench: Bench) -> None:
    [bad, *_] = await bench.submit("ann", 3)
    bench.accepted.discard(bad)
    await plant(client, bench.keys.request(bad), "set")
    await plant(client, bench.keys.reply(bad), "set")
    assert len(await bench.mend()) == 2
    assert {one.id for one in (await bench.lease()).leased} == bench.accepted


async def test_a_name_that_is_taken_gets_a_number(client: Redis, bench: Bench) -> None:
    said: list[str] = []
    for type_ in ("string", "set", "string"):
        await plant(client, bench.keys.fixed("due"), type_)
        said += await bench.mend()
    asides = {name.decode() async for name in client.scan_iter(match=bench.keys.fixed("aside:*"))}
    assert len(asides) == 3
    assert all(any(sentence.endswith(name.removeprefix(bench.keys.prefix)) for sentence in said) for name in asides)


async def test_the_policy_says_how_long_it_is_kept(client: Redis, bench: Bench) -> None:
    await bench.apply(make_policy(dead_ttl_s=60))
    for value, most_ms in ((60_000, 60_000), ("-1", TWO_WEEKS_MS), ("nan", TWO_WEEKS_MS)):
        await client.hset(bench.keys.fixed("config"), "dead_ttl_ms", str(value))
        await client.delete(bench.keys.fixed("aside:due"))
        await plant(client, bench.keys.fixed("due"), "set")
        await bench.mend()
        assert most_ms - 50_000 < await client.pttl(bench.keys.fixed("aside:due")) <= most_ms
        await bench.apply()


@pytest.mark.parametrize("name", ["mine", "aside:due", "request:a:b", "ring:express", "run:x", "\x1b[2J\xff"])
async def test_what_is_not_ours_is_left_alone(client: Redis, bench: Bench, name: str) -> None:
    key = bench.keys.prefix.encode() + name.encode("latin-1")
    await client.set(key, "somebody's")
    assert await bench.mend() == []
    assert await client.delete(key) == 1


@pytest.mark.parametrize("name", ["run", "retry", "dead", "audit", "backlog:interactive:ann", "inbox:p1"])
async def test_a_stream_that_takes_no_more_is_put_aside(client: Redis, bench: Bench, name: str) -> None:
    dead = await make_busy(bench)
    await client.xadd(bench.keys.fixed(name), {"planted": "x"}, id=LAST_ID)
    said = await bench.mend()
    assert any(one.startswith(f"{name} held a full stream instead of a stream") for one in said)
    assert await bench.mend() == []
    if name == "dead":
        await forget_dead(bench, dead)
    await make_busy(bench)


@pytest.mark.parametrize(
    "name", ["retry", "due", "expiry", "ring:interactive", "ring:batch", "backlog:interactive:ann"]
)
async def test_what_waited_still_comes_up_in_time(client: Redis, bench: Bench, name: str) -> None:
    await make_busy(bench)
    await plant(client, bench.keys.fixed(name), "string")
    await bench.mend()
    assert await bench.counter("waiting") == 4
    fresh = await bench.lease(count=10)
    bench.advance(3 * SECOND_US)
    delayed = await bench.lease(count=10)
    assert (len(fresh.leased), len(delayed.leased)) == (4, 2)


@pytest.mark.parametrize("how", ["destroyed", "deleted", "planted"])
async def test_what_was_in_flight_is_its_holders(client: Redis, bench: Bench, how: str) -> None:
    ids = await bench.submit("ann", 3)
    first, second, _ = await bench.take(3)
    run = bench.keys.fixed("run")
    if how == "destroyed":
        await client.xgroup_destroy(run, "dispatchers")
    else:
        await client.delete(run)
    if how == "planted":
        await client.set(run, "planted")
    assert "run: the consumer group was missing; it is made again" in await bench.mend()
    assert await bench.settle(first) == ["ok"]
    assert await bench.retry(second) == ["delayed"]
    if how != "destroyed":
        assert await bench.in_flight() == 0
    bench.advance(300 * SECOND_US)
    await bench.lease(count=0)
    assert await bench.state(ids[2]) == ("run" if how == "destroyed" else "expired")  # its holder cuts it, if it can


@pytest.mark.parametrize("value", [b"x", b"", b"1.5", b"nan", b"0x10", b"9" * 30, b"\x1b[2J\xff"])
@pytest.mark.parametrize(
    ("name", "field"), [("sched", "waiting"), ("sched", "bytes"), ("upstream:a", "in_flight"), ("sched", "late")]
)
async def test_a_count_that_is_no_number_is_counted_anew(
    client: Redis, bench: Bench, name: str, field: str, value: bytes
) -> None:
    await make_busy(bench)
    counts = {key: await client.hgetall(bench.keys.fixed(key)) for key in ("sched", "upstream:a")}
    await client.hset(bench.keys.fixed(name), field, value)
    [sentence] = await bench.mend()
    assert sentence.startswith(f"{name}: '{field}' was ")
    assert sentence.isprintable()
    counts["sched"].pop(b"late", None)
    assert {key: await client.hgetall(bench.keys.fixed(key)) for key in counts} == counts


@pytest.mark.parametrize("field", ["waiting", "bytes"])
async def test_a_count_below_zero_is_counted_anew(bench: Bench, field: str) -> None:
    await make_busy(bench)
    was = await bench.counter(field)
    await bench.redis.hset(bench.keys.fixed("sched"), field, -3)
    assert len(await bench.mend()) == 1
    assert await bench.counter(field) == was


async def test_what_a_lease_left_behind_when_it_broke_off_counts_once(client: Redis, bench: Bench) -> None:
    await bench.submit("ann")
    await bench.submit("bob")
    was = await bench.counter("bytes")
    await plant(client, bench.keys.backlog("interactive", "bob"), "string")
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        await bench.lease(count=9)
    assert await client.xlen(bench.keys.fixed("run")) > 0
    await bench.mend()
    assert await bench.counter("bytes") == was
    assert await bench.in_flight() == 0


@pytest.mark.parametrize("holder_first", [True, False])
async def test_what_is_in_flight_counts_though_its_group_was_destroyed(bench: Bench, holder_first: bool) -> None:
    """A cancelled one, too, until it is let go of: by its holder, or as a stray."""
    await bench.submit("ann", 3)
    held = await bench.take(3)
    await bench.cancel(held[1].id)
    was = await bench.counter("bytes")
    await bench.redis.xgroup_destroy(bench.keys.fixed("run"), "dispatchers")
    await bench.redis.hset(bench.keys.upstream("a"), "in_flight", "x")
    await bench.mend()
    assert (await bench.counter("bytes"), await bench.in_flight()) == (was, 3)
    steps = [lambda: bench.renew("d1", *held), lambda: bench.lease("d2", count=0)]
    for step in steps if holder_first else reversed(steps):
        await step()
        assert await bench.in_flight() == 2
    assert await bench.settle(*held) == ["ok", "late", "ok"]
    assert await bench.in_flight() == 0


@pytest.mark.parametrize("field", ["last_slot_us", "tat_us:rpm", "pause_until_us", "turn_until_us"])
async def test_a_time_that_is_no_number_is_forgotten(bench: Bench, field: str) -> None:
    await make_busy(bench)
    await bench.redis.hset(bench.keys.upstream("a"), mapping={field: "x", "pause_reason": "x", "turn": "x"})
    [sentence] = await bench.mend()
    assert sentence == f"upstream:a: '{field}' was 'x', which it cannot be; it is deleted"
    await bench.redis.hset(bench.keys.upstream("a"), "turn_until_us", f"{START_US}.5")
    assert await bench.mend() == []


@pytest.mark.parametrize("field", ["price_us", "price_us:a", "reply_ttl_ms", "lease_us", "version", "batch_share"])
@pytest.mark.parametrize("value", [b"x", None])
async def test_the_policys_numbers_are_worked_out_again(
    client: Redis, bench: Bench, field: str, value: bytes | None
) -> None:
    config, policy = bench.keys.fixed("config"), make_policy(rpm=600)
    text = msgspec.json.encode(policy).decode().replace('"models"', '"of_a_newer_release":1,"models"')
    await bench.apply(policy, text=text)
    was = await client.hgetall(config)
    await client.hdel(config, field)
    if value is not None:
        await client.hset(config, field, value)
    assert await bench.mend() == [f"config: '{field}' could not be read; worked out again from the policy"]
    now = await client.hgetall(config)
    assert now.pop(b"version").isdigit()
    del was[b"version"]
    assert now == was


async def test_numbers_without_a_policy_are_put_aside_with_it(client: Redis, bench: Bench) -> None:
    await client.hset(bench.keys.fixed("config"), "price_us", "x")
    [sentence] = await bench.mend()
    assert "it is now aside:config" in sentence
    assert "price_us" in sentence
    assert await client.hget(bench.keys.fixed("aside:config"), "price_us") == b"x"
    await bench.apply()


async def test_trouble_that_is_over_is_forgotten(bench: Bench) -> None:
    await bench.redis.hset(bench.keys.fixed("sched"), "trouble", 1)
    assert await bench.mend() == []
    assert await bench.redis.hget(bench.keys.fixed("sched"), "trouble") is None


async def test_what_somebody_else_has_mended_already_is_left_alone(redis_url: str, bench: Bench) -> None:
    await make_busy(bench)
    async with Store(redis_url) as store:
        assert await PUT_ASIDE(store, bench.keys, ("due", "zset")) == b""
    assert await bench.redis.zcard(bench.keys.fixed("due")) == 2


async def test_what_is_gone_or_another_by_then_is_left_alone(client: Redis, redis_url: str, bench: Bench) -> None:
    await make_busy(bench)
    before = await read_all(client)
    async with Store(redis_url) as store:
        assert await PUT_ASIDE(store, bench.keys, ("suspects", "zset")) == b""
        assert await FORGET(store, bench.keys, (), [("sched", "waiting", "x"), ("due", "x", "x")]) == [0, 0]
    assert await read_all(client) == before
