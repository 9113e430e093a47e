"""enqueue where keys are damaged: who needs them is told, the others are served, and nothing is half done."""

from typing import Any

import pytest
from redis.asyncio import Redis

from support.script_clock import CLOCK_KEY
from support.scripts import SECOND_US, Bench
from support.stored import read_all

LAST_ID = "18446744073709551615-18446744073709551615"


async def read_kept(client: Redis, bench: Bench, *without: str) -> dict[str, Any]:
    """Every key, but the clock, the token, and the mark that calls for mending."""
    if "sched" not in without:
        await bench.redis.hdel(bench.keys.fixed("sched"), "trouble")
    passed_over = {CLOCK_KEY, *(bench.keys.fixed(name) for name in ("wake", *without))}
    return {name: value for name, value in (await read_all(client)).items() if name not in passed_over}


async def assert_trouble_is_noted(bench: Bench) -> None:
    assert await bench.redis.hget(bench.keys.fixed("sched"), "trouble") == "1"
    assert await bench.redis.lrange(bench.keys.fixed("wake"), 0, -1) == ["1"]


@pytest.mark.parametrize("name", ["request:bad", "reply:bad", "key:eve:k", "backlog:interactive:eve"])
async def test_one_damaged_request_harms_no_other(client: Redis, bench: Bench, name: str) -> None:
    bad = bench.order("eve", id="bad", key="k")
    await bench.redis.sadd(bench.keys.fixed(name), "planted")
    before = await read_kept(client, bench)
    [answer] = await bench.enqueue(bad)
    assert (answer.kind, answer.id) == ("broken", "bad")
    assert answer.values[0].startswith(b"WRONGTYPE")
    await assert_trouble_is_noted(bench)
    assert await read_kept(client, bench) == before
    answers = await bench.enqueue(bench.order("ann"), bad, bench.order("bob"))
    assert [answer.kind for answer in answers] == ["waiting", "broken", "waiting"]
    assert await bench.counter("waiting") == 2
    assert await bench.counter("bytes") == 4
    assert await bench.redis.zrange(bench.keys.fixed("expiry"), 0, -1) == [answers[0].id, answers[2].id]
    await bench.redis.delete(bench.keys.fixed(name))
    [mended] = await bench.enqueue(bad)
    assert mended.kind == "waiting"


FIXED = ["sched", "idle", "expiry", "ring:interactive", "retry", "due"]


@pytest.mark.parametrize("name", FIXED)
async def test_where_a_fixed_key_is_damaged_nothing_is_half_done(client: Redis, bench: Bench, name: str) -> None:
    delay_us = SECOND_US if name in ("retry", "due") else 0
    orders = [bench.order(agent, key="k", not_before_us=delay_us) for agent in ("ann", "bob")]
    await bench.redis.set(bench.keys.fixed(name), "planted")
    before = await read_kept(client, bench, "sched")
    assert [answer.kind for answer in await bench.enqueue(*orders)] == ["broken", "broken"]
    assert await read_kept(client, bench, "sched") == before
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1
    await bench.redis.delete(bench.keys.fixed(name))
    assert {answer.kind for answer in await bench.enqueue(*orders)} <= {"waiting", "delayed"}


async def test_a_damaged_token_stops_nobody(bench: Bench) -> None:
    await bench.redis.set(bench.keys.fixed("wake"), "planted")
    await bench.submit()
    await bench.redis.delete(bench.keys.fixed("wake"))


@pytest.mark.parametrize("delay_us", [0, SECOND_US])
async def test_a_stream_that_is_full_for_ever_takes_nothing(client: Redis, bench: Bench, delay_us: int) -> None:
    stream = bench.keys.fixed("retry") if delay_us else bench.keys.backlog("interactive", "eve")
    await bench.redis.xadd(stream, {"id": "planted"}, id=LAST_ID)
    before = await read_kept(client, bench)
    answers = await bench.enqueue(bench.order("eve", key="k", not_before_us=delay_us), bench.order("ann"))
    assert [answer.kind for answer in answers] == ["broken", "waiting"]
    await bench.cancel(answers[1].id)
    del_reply = {bench.keys.reply(answers[1].id), bench.keys.inbox("p1"), bench.keys.fixed("sched")}
    after = {name: value for name, value in (await read_kept(client, bench)).items() if name not in del_reply}
    assert after == {name: value for name, value in before.items() if name not in del_reply}
    await bench.redis.delete(stream)


@pytest.mark.parametrize("field", ["waiting", "bytes", "virtual_us:interactive"])
@pytest.mark.parametrize("value", ["x", "", "1.5.1", "nan", "99999999999999999999999999999999"])
async def test_a_counter_that_does_not_count_is_found_before_it_is_added_to(
    client: Redis, bench: Bench, field: str, value: str
) -> None:
    await bench.redis.hset(bench.keys.fixed("sched"), field, value)
    before = await read_kept(client, bench)
    [answer] = await bench.enqueue(bench.order(key="k"))
    assert answer.kind == "broken"
    await assert_trouble_is_noted(bench)
    assert await read_kept(client, bench) == before
    await bench.redis.hdel(bench.keys.fixed("sched"), field)


@pytest.mark.parametrize("field", ["max_backlog", "max_request_bytes", "deadline_us", "reply_ttl_ms", "price_us"])
@pytest.mark.parametrize("value", ["x", ""])
async def test_a_damaged_policy_takes_nothing(client: Redis, bench: Bench, field: str, value: str) -> None:
    await bench.redis.hset(bench.keys.fixed("config"), field, value)
    before = await read_kept(client, bench)
    [answer] = await bench.enqueue(bench.order(key="k"))
    assert answer.kind == "broken"
    await assert_trouble_is_noted(bench)
    assert await read_kept(client, bench) == before
    await bench.apply()
