"""Other hands in Redis while all runs: the dispatcher says so, mends it, and goes on; nothing is lost."""

import asyncio
import contextlib
import logging
from typing import Unpack

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from sluicegate import AsyncProducer, RequestDead, StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate.submission import Options
from sluicegate.wire import Reply
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.embedded_cluster import EmbeddedCluster
from sluicegate_worker.observe.events import Events
from sluicegate_worker.repairs import Repairs
from support.pools import chat, make_settings
from support.served_pool import PATH, POOL, apply_settings
from support.stored import send
from support.upstream import Upstream, answer, once
from support.waiting import wait_until

FIXED = ["config", "sched", "idle", "served", "run", "retry", "due", "suspects", "expiry", "dead", "wake", "audit"]
OTHERS = ["ring:interactive", "ring:batch", "upstream:a", "backlog:interactive:ann", "backlog:batch:ann"]


def prefix(name: str) -> str:
    return f"sg:{{chat}}:{name}"


async def plant(client: Redis, name: str) -> None:
    """At one blow, so that nothing can grow again in between."""
    async with client.pipeline(transaction=True) as together:
        together.delete(prefix(name))
        together.set(prefix(name), "planted")
        await together.execute()


async def insist(producer: AsyncProducer, **options: Unpack[Options]) -> Reply:
    """While a pool is mended a producer may be told so; it is safe to ask again."""
    while True:
        with contextlib.suppress(StoreUnavailable):
            return await producer.request(PATH, chat(), **options)


async def use_everything(upstream: Upstream, producer: AsyncProducer) -> None:
    """Requests of every kind, which between them touch every key of a pool but the audit."""
    upstream.next_up.append(answer(500))
    assert (await insist(producer)).status == 200
    upstream.next_up.extend([answer(500)] * 3)
    with pytest.raises(RequestDead):
        await insist(producer)
    assert (await insist(producer, not_before=0.01)).status == 200
    assert (await insist(producer, priority="batch", key="k")).status == 200


@pytest.mark.usefixtures("at_rest")
@pytest.mark.parametrize("name", FIXED + OTHERS)
async def test_requests_of_every_kind_are_answered_after_a_key_was_damaged(
    client: Redis, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer, name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    assert (await producer.request(PATH, chat())).status == 200
    await plant(client, name)
    await use_everything(upstream, producer)
    if name == "audit":  # nobody meets it before a policy changes
        await client.hset(prefix("sched"), "trouble", 1)
        await client.rpush(prefix("wake"), 1)
    await wait_until(lambda: client.exists(prefix(f"aside:{name}")), "the foreign key is put aside")
    assert await client.get(prefix(f"aside:{name}")) == b"planted"

    def said() -> bool:  # once all is mended, and the key is put aside before
        errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        return any(f"{name} held a string instead of a " in message for message in errors)

    await wait_until(said, "the operator is told")


@pytest.mark.usefixtures("at_rest")
async def test_everything_at_once_under_load(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    settings = make_settings(redis_url, upstream.base_url, upstream={"rpm": 6_000})
    async with Dispatcher(settings), Dispatcher(settings):
        calls = [asyncio.create_task(producer.request(PATH, chat(), agent=f"a{n % 7}")) for n in range(200)]
        await wait_until(lambda: len(upstream.arrivals) > 20, "calls are made")
        for name in ("ring:interactive", "expiry", "due", "run", "sched", "upstream:a", "backlog:interactive:a3"):
            await plant(client, name)
        replies = await asyncio.gather(*calls)
    assert {reply.status for reply in replies} == {200}
    await client.delete(prefix("expiry"))  # deadlines of what was in flight then; each would end by itself


@pytest.mark.usefixtures("at_rest")
async def test_a_damaged_request_harms_no_other(
    client: Redis, dispatcher: Dispatcher, producer: AsyncProducer, upstream: Upstream
) -> None:
    await client.sadd(prefix("request:mine"), "planted")
    await client.sadd(prefix("key:ann:k"), "planted")
    calls = [
        producer.request(PATH, chat(), id="mine"), producer.request(PATH, chat(), key="k"),
        producer.request(PATH, chat()),
    ]  # fmt: skip
    assert {reply.status for reply in await asyncio.gather(*calls)} == {200}
    assert await client.exists(prefix("aside:request:mine"), prefix("aside:key:ann:k")) == 2


@pytest.mark.usefixtures("at_rest")
async def test_without_a_dispatcher_the_producer_says_what_to_do(
    client: Redis, redis_url: str, producer: AsyncProducer
) -> None:
    await apply_settings(make_settings(redis_url))
    await client.sadd(prefix("request:mine"), "planted")
    with pytest.raises(StoreUnavailable, match="`sluicegate doctor`") as refused:
        await producer.submit(PATH, chat(), id="mine")
    assert "WRONGTYPE" in str(refused.value)
    assert "\n" not in str(refused.value)
    await client.delete(prefix("request:mine"))
    await (await producer.submit(PATH, chat(), id="mine")).cancel()


@pytest.mark.usefixtures("at_rest")
@pytest.mark.parametrize("command", [("XGROUP", "DESTROY", prefix("run"), "dispatchers"), ("DEL", prefix("run"))])
async def test_what_is_in_flight_when_the_group_goes_is_answered_once(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, command: tuple[str, ...]
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    async with Dispatcher(make_settings(redis_url, upstream.base_url, upstream={"max_in_flight": 5})):
        calls = [asyncio.create_task(producer.request(PATH, chat())) for _ in range(5)]
        await wait_until(lambda: len(upstream.arrivals) == 5, "five calls are in flight")
        await send(client, *command)
        gate.set()
        assert {reply.status for reply in await asyncio.gather(*calls)} == {200}
        assert {(await producer.request(PATH, chat())).status for _ in range(10)} == {200}  # its room is free again
    assert len(upstream.arrivals) == 15
    await client.delete(prefix("expiry"))  # deadlines of what was in flight then; each would end by itself


@pytest.mark.usefixtures("at_rest")
@pytest.mark.parametrize(
    ("name", "field"),
    [("sched", "waiting"), ("sched", "bytes"), ("sched", "ok"), ("upstream:a", "in_flight"), ("config", "price_us"),
     ("config", "lease_us")],
)  # fmt: skip
async def test_a_number_that_is_none_stops_nobody(
    client: Redis, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer, name: str, field: str
) -> None:
    assert (await producer.request(PATH, chat())).status == 200
    await client.hset(prefix(name), field, "x")
    assert {(await insist(producer)).status for _ in range(3)} == {200}
    assert await client.hget(prefix(name), field) != b"x"


@pytest.mark.usefixtures("at_rest")
async def test_a_dispatcher_starts_on_a_damaged_pool(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
    for name in ("run", "audit", "config"):
        await plant(client, name)
    async with Dispatcher(settings):
        assert (await producer.request(PATH, chat())).status == 200


@pytest.mark.usefixtures("at_rest")
async def test_a_flushed_server_is_served_again(
    client: Redis, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    assert (await producer.request(PATH, chat())).status == 200
    await client.flushall()
    await wait_until(lambda: client.exists(prefix("config")), "the dispatcher gives its policy again")
    assert (await producer.request(PATH, chat())).status == 200


async def test_a_damaged_pool_of_a_cluster_is_mended(cluster: EmbeddedCluster, upstream: Upstream) -> None:
    settings = make_settings(cluster.url, upstream.base_url)
    async with Dispatcher(settings), AsyncProducer(cluster.url, pool=POOL, agent="ann") as producer:
        assert (await producer.request(PATH, chat())).status == 200
        async with RedisCluster.from_url(cluster.url, protocol=2) as client:
            for name in ("run", "due", "ring:interactive"):
                await client.delete(prefix(name))
                await client.set(prefix(name), "planted")
        assert (await insist(producer)).status == 200


async def test_what_is_damaged_right_after_a_repair_is_mended_by_the_next(client: Redis, redis_url: str) -> None:
    """Whoever asks gets a repair that began after the damage: else it would ask again, and again, in vain."""
    await apply_settings(make_settings(redis_url))

    async def notice(_: int | None) -> None:
        return

    async with Store(redis_url) as store:
        repairs = Repairs(store, PoolKeys(POOL), Events(), notice)
        for name in ("due", "expiry"):
            await plant(client, name)
            await repairs.mend()
            assert await client.exists(prefix(f"aside:{name}"))
