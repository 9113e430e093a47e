"""Broken connections, lost replies, a server that forgets its scripts or is full: nothing is lost, or done twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, Reply, StoreUnavailable, Ticket
from sluicegate.script_files import ENQUEUE
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.embedded import EmbeddedServer
from sluicegate_worker.script_files import LEASE, RETRY, SETTLE
from support.fleet import RUN, assert_paid_once
from support.leaks import assert_at_rest
from support.pools import chat, make_settings
from support.proxy import Proxy
from support.served_pool import PATH, POOL
from support.upstream import Arrival, Connection, Upstream, answer, once
from support.waiting import make_alarm, wait_until

pytestmark = pytest.mark.alone

ROUNDS = 15
EVERY_S = 0.2


async def cut_all_connections(client: Redis) -> None:
    await client.client_kill_filter(_type="normal", skipme=True)


async def flush_scripts(client: Redis) -> None:
    await client.script_flush()


@pytest.mark.parametrize("disturb", [cut_all_connections, flush_scripts])
async def test_a_disturbance_again_and_again_repeats_and_loses_nothing(
    client: Redis,
    redis_url: str,
    upstream: Upstream,
    producer: AsyncProducer,
    disturb: Callable[[Redis], Awaitable[None]],
) -> None:
    settings = make_settings(redis_url, upstream.base_url, upstream={"rpm": 12_000}, lease_s=2)
    over = asyncio.Event()
    asked: set[str] = set()

    async def ask(agent: str) -> None:
        while not over.is_set():
            request_id = f"{agent}-{len(asked)}"
            asked.add(request_id)
            reply = await producer.request(PATH, chat(), agent=agent, id=request_id)
            assert (reply.status, reply.attempts) == (200, 1)

    async with Dispatcher(settings), Dispatcher(settings):
        asking = [asyncio.create_task(ask(f"a{number}")) for number in range(20)]
        for _ in range(ROUNDS):
            await wait_until(make_alarm(EVERY_S), "it is time for the next")
            await disturb(client)
        over.set()
        await asyncio.gather(*asking)
    called = [arrival.headers["idempotency-key"] for arrival in upstream.arrivals]
    assert len(called) > ROUNDS * 10
    assert set(called) == asked
    assert_paid_once(called)
    await assert_at_rest(client, POOL)


async def test_lost_replies_repeat_nothing(redis_url: str, client: Redis, upstream: Upstream) -> None:
    """A third of the replies to scripts are lost after the server has executed them; half of the calls fail once."""

    async def behave(arrival: Arrival, connection: Connection) -> None:
        fails = b"fails" in arrival.body and arrival.headers["x-sluicegate-attempt"] == "1"
        await answer(500 if fails else 200)(arrival, connection)

    upstream.behaviour = behave
    rules: dict[str, Any] = {"upstream": {"rpm": 6_000}, "lease_s": 2}
    async with (  # a proxy each: no dispatcher loses more than two of its leases in a row
        Proxy(redis_url) as one,
        Proxy(redis_url) as two,
        Dispatcher(make_settings(one.url, upstream.base_url, **rules)),
        Dispatcher(make_settings(two.url, upstream.base_url, **rules)),
        AsyncProducer(two.url, pool=POOL) as producer,
    ):
        await producer.request(PATH, chat(), agent="first")  # from now on the server knows the usual scripts
        one.lose_share = two.lose_share = 1 / 3

        async def ask(number: int) -> list[Reply]:
            bodies = [chat("fails" if turn % 2 else "works") for turn in range(6)]
            return [await producer.request(PATH, body, agent=f"a{number}") for body in bodies]

        answered = await asyncio.gather(*(ask(number) for number in range(20)))
        one.lose_share = two.lose_share = 0
    replies = [reply for of_one in answered for reply in of_one]
    lost = one.lost + two.lost
    assert all(lost[script.sha] for script in (ENQUEUE, LEASE, SETTLE, RETRY)), lost
    assert Counter((reply.status, reply.attempts) for reply in replies) == {(200, 1): 60, (200, 2): 60}
    called = Counter(arrival.headers["idempotency-key"] for arrival in upstream.arrivals)
    assert {reply.id: reply.attempts for reply in replies}.items() <= called.items()
    assert len(called) == 121
    await assert_at_rest(client, POOL)


async def test_a_lost_lease_is_no_crash(
    redis_url: str, client: Redis, upstream: Upstream, producer: AsyncProducer
) -> None:
    """What a dispatcher was given without learning of it comes back at its next renewal, though it knows of nothing."""
    async with Proxy(redis_url) as proxy, Dispatcher(make_settings(proxy.url, upstream.base_url, lease_s=3)):
        await producer.request(PATH, chat())
        proxy.lose_share, proxy.in_a_row_most = 1.0, 1_000
        ticket = await producer.submit(PATH, chat())
        await wait_until(lambda: proxy.lost[LEASE.sha] > 4 and client.xlen(RUN), "leases are lost for a while")
        proxy.lose_share = 0
        assert (await ticket.reply(20)).attempts == 1
    assert await client.hget("sg:{chat}:sched", "reclaimed") is None
    await assert_at_rest(client, POOL)


async def test_a_full_server_keeps_what_was_paid_for_and_recovers(upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    with EmbeddedServer("--appendonly", "no") as server:
        settings = make_settings(server.url, upstream.base_url, upstream={"max_in_flight": 10}, lease_s=1)
        async with (
            Redis.from_url(server.url, protocol=2) as client,
            Dispatcher(settings),
            AsyncProducer(server.url, pool=POOL, agent="ann") as producer,
        ):
            tickets: list[Ticket] = [await producer.submit(PATH, chat()) for _ in range(30)]
            await wait_until(lambda: len(upstream.arrivals) == 10, "ten calls are in flight, and others wait")
            await client.config_set("maxmemory", 1)
            with pytest.raises(StoreUnavailable, match="maxmemory"):
                await producer.submit(PATH, chat())
            await wait_until(make_alarm(1.5), "its leases would have ended by now")
            gate.set()
            replies = await asyncio.gather(*(ticket.reply() for ticket in tickets))
            assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}
            await client.config_set("maxmemory", 0)
            assert (await producer.request(PATH, chat())).status == 200
            assert_paid_once(arrival.headers["idempotency-key"] for arrival in upstream.arrivals)
            await assert_at_rest(client, POOL)
