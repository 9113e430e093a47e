"""The main job on a real cluster of three primaries: pools on different nodes, a pool's keys in one slot."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial

import pytest
from redis import Redis
from redis.asyncio.cluster import RedisCluster
from redis.crc import key_slot

from sluicegate import AsyncProducer, Reply, RequestCancelled, RequestDead
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.embedded import EmbeddedServer
from sluicegate_worker.demo.embedded_cluster import EmbeddedCluster
from sluicegate_worker.settings import Pool, Retry, Settings, Upstream
from support.leaks import assert_at_rest
from support.waiting import wait_until

PATH = "/embeddings"
POOLS = {"chat": "gpt-*", "text": "text-*"}  # their slots lie on different nodes: a test looks
RETRY = Retry(max_attempts=3, base_s=0.01, cap_s=0.02)


def make_settings(url: str) -> Settings:
    upstream = Upstream(name="a", provider="openai", handler="support.echo:echo", rpm=60_000)
    pools = {name: Pool(models=(models,), retry=RETRY, upstreams=(upstream,)) for name, models in POOLS.items()}
    return Settings(redis_url=url, pools=pools)


@pytest.fixture
async def client(cluster: EmbeddedCluster) -> AsyncIterator[RedisCluster]:
    async with RedisCluster.from_url(cluster.url, protocol=2) as connected:
        yield connected


@pytest.fixture
async def producer(cluster: EmbeddedCluster) -> AsyncIterator[AsyncProducer]:
    """Without a pool: each body's model chooses it."""
    async with AsyncProducer(cluster.url, agent="ann") as opened:
        yield opened


async def ask(producer: AsyncProducer, number: int) -> Reply:
    model = ("gpt-5", "text-1")[number % 2]
    body = {"model": model, "input": number, "fail": int(number % 10 == 0)}
    return await producer.request(PATH, body, agent=f"agent-{number % 7}")


async def test_everybody_gets_their_own_answer(
    cluster: EmbeddedCluster, client: RedisCluster, producer: AsyncProducer
) -> None:
    settings = make_settings(cluster.url)
    async with Dispatcher(settings), Dispatcher(settings):
        replies = await asyncio.gather(*(ask(producer, number) for number in range(120)))
    assert [reply.json()["input"] for reply in replies] == list(range(120))
    assert [reply.attempts for reply in replies] == [2 if number % 10 == 0 else 1 for number in range(120)]
    for pool in POOLS:
        keys = PoolKeys(pool)
        assert await client.hget(keys.fixed("sched"), "ok") == b"60"
        assert await client.hget(keys.upstream("a"), "in_flight") == b"0"
    await assert_at_rest(client, *POOLS)


async def test_a_pools_keys_share_a_slot_and_pools_spread(
    cluster: EmbeddedCluster, client: RedisCluster, producer: AsyncProducer
) -> None:
    async with Dispatcher(make_settings(cluster.url)):
        await asyncio.gather(*(ask(producer, number) for number in range(10)))
        with pytest.raises(RequestDead):
            await producer.request(PATH, {"model": "gpt-5", "fail": 9}, key="k")
        slots = defaultdict(set)
        async for key in client.scan_iter():
            tag, _, _ = key.decode().removeprefix("sg:").partition("}")
            slots[tag].add(client.keyslot(key))
    assert set(slots) == {"{chat", "{text", "pools"}
    assert [len(found) for found in slots.values()] == [1, 1, 1]
    nodes = {client.get_node_from_key(PoolKeys(pool).fixed("run")) for pool in POOLS}
    assert len(nodes) == len(POOLS)


async def test_the_rest_of_the_interface_works_there_too(
    cluster: EmbeddedCluster, client: RedisCluster, producer: AsyncProducer
) -> None:
    async with Dispatcher(make_settings(cluster.url)), AsyncProducer(cluster.url, pool="text", agent="bob") as other:
        ticket = await other.submit(PATH, {"model": "text-1", "input": 1}, key="k")
        again = await other.submit(PATH, {"model": "text-1", "input": 1}, key="k")
        assert again.id == ticket.id
        assert (await producer.result(ticket.id, timeout=20)).json()["input"] == 1
        assert (await again.reply()).id == ticket.id
        later = await other.submit(PATH, {"model": "text-1", "input": 2}, not_before=600, deadline=900)
        assert await later.cancel() == "cancelled"
        with pytest.raises(RequestCancelled):
            await later.reply(timeout=20)
    await assert_at_rest(client, *POOLS)


async def test_a_node_that_forgot_the_scripts_is_told_again(
    cluster: EmbeddedCluster, client: RedisCluster, producer: AsyncProducer
) -> None:
    async with Dispatcher(make_settings(cluster.url)):
        await ask(producer, 1)
        await client.script_flush()
        assert (await ask(producer, 2)).status == 200
        assert (await ask(producer, 3)).status == 200


async def test_many_calls_at_once_find_their_nodes(cluster: EmbeddedCluster, client: RedisCluster) -> None:
    await client.config_resetstat(target_nodes=RedisCluster.ALL_NODES)
    async with Store(cluster.url) as store:
        await asyncio.gather(*(store.call("GET", PoolKeys(f"pool-{n}").fixed("config")) for n in range(100)))
    for node in cluster.nodes:
        with Redis.from_url(node.url, protocol=2) as direct:
            assert "errorstat_MOVED" not in direct.info("errorstats")


async def test_slots_that_move_are_followed_without_breaking_other_calls(cluster: EmbeddedCluster) -> None:
    keys = [PoolKeys(f"pool-{n}").fixed("config") for n in range(100)]
    slots = {key_slot(key.encode()) for key in keys}
    first, second, _ = cluster.nodes
    async with Store(cluster.url) as store:
        moved = move_slots(first, second, slots)
        try:
            assert len(moved) > 10
            assert await asyncio.gather(*(store.call("GET", key) for key in keys)) == [None] * 100
        finally:
            move_slots(second, first, moved)


def move_slots(source: EmbeddedServer, target: EmbeddedServer, slots: set[int]) -> set[int]:
    """Gives those of the (empty) slots that `source` has to `target`; returns them."""
    with Redis.from_url(source.url, protocol=2) as giver, Redis.from_url(target.url, protocol=2) as taker:
        owned = [
            (low, high) for low, high, primary, *_ in giver.cluster("SLOTS") if primary[2] == giver.cluster("MYID")
        ]
        moved = {slot for slot in slots for low, high in owned if low <= slot <= high}
        for slot in moved:
            for node in (taker, giver):
                node.cluster("SETSLOT", slot, "NODE", taker.cluster("MYID"))
    return moved


async def test_who_waited_before_there_was_a_dispatcher_is_served(
    cluster: EmbeddedCluster, producer: AsyncProducer
) -> None:
    async with Dispatcher(make_settings(cluster.url)):
        pass
    asked = [asyncio.ensure_future(ask(producer, number)) for number in (1, 2)]
    async with RedisCluster.from_url(cluster.url, protocol=2) as client:
        for pool in POOLS:
            waiting = partial(client.zcard, PoolKeys(pool).ring("interactive"))
            await wait_until(waiting, f"somebody waits in pool {pool}")
    async with Dispatcher(make_settings(cluster.url)):
        assert [reply.status for reply in await asyncio.gather(*asked)] == [200, 200]
