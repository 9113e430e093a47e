"""Producers and their Redis: few round trips and connections, replies of any size, and a server that goes away."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import ConnectionPool, Redis

from sluicegate import AsyncProducer, InvalidRequest, StoreUnavailable, Ticket
from sluicegate.connections import Connections
from sluicegate.inbox import Inbox
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.embedded import EmbeddedServer, find_free_port
from support.leaks import assert_at_rest
from support.pools import chat, make_settings
from support.restarting import RestartingServer
from support.served_pool import PATH, POOL, apply_settings
from support.stored import holding_writes, send, watch_commands
from support.upstream import Upstream, answer, once
from support.waiting import let_others_run, wait_until

PASSWORD = "hunter2-planted"  # noqa: S105  # it opens nothing


@pytest.mark.usefixtures("at_rest")
async def test_calls_of_the_same_moment_share_a_round_trip(
    client: Redis, redis_url: str, producer: AsyncProducer
) -> None:
    await apply_settings(make_settings(redis_url))
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as first:
        await (await first.submit(PATH, chat())).cancel()  # the server knows the script from now on
    async with watch_commands(client) as commands:
        tickets = await asyncio.gather(*(producer.submit(PATH, chat(), agent=f"a{n}") for n in range(90)))
    asked = [name for name in commands if name in ("HMGET", "EVALSHA", "EVAL")]
    assert asked == ["HMGET", "EVALSHA"]  # the pool's terms, and all requests
    assert len({ticket.id for ticket in tickets}) == 90
    await asyncio.gather(*(ticket.cancel() for ticket in tickets))


@pytest.mark.usefixtures("at_rest")
async def test_one_connection_waits_for_all_replies(
    client: Redis, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    calls = [asyncio.create_task(producer.request(PATH, chat(), agent=f"a{n}")) for n in range(100)]
    await wait_until(lambda: len(upstream.arrivals) == 100, "all calls arrived")

    async def count_readers() -> int:
        return sum(one["cmd"] == "xread" for one in await client.client_list())

    await wait_until(count_readers, "somebody reads the inbox")
    assert await count_readers() == 1
    gate.set()
    assert {reply.status for reply in await asyncio.gather(*calls)} == {200}


@pytest.mark.usefixtures("at_rest")
async def test_a_thousand_calls_at_once_take_three_connections(
    client: Redis, redis_url: str, upstream: Upstream
) -> None:
    most = 0
    async with (
        Dispatcher(make_settings(redis_url, upstream.base_url, upstream={"rpm": 600_000})),
        AsyncProducer(f"{redis_url}?client_name=agents", pool=POOL) as producer,
    ):
        calls = [asyncio.create_task(producer.request(PATH, chat(), agent=f"a{n % 200}")) for n in range(1_000)]
        while not all(call.done() for call in calls):
            most = max(most, sum(one["name"] == "agents" for one in await client.client_list()))
        assert {call.result().status for call in calls} == {200}
    assert 2 <= most <= 3


@pytest.mark.usefixtures("at_rest")
@pytest.mark.parametrize("size", [0, 8_000, 9_000, 1_500_000])
async def test_a_reply_of_any_size_comes_whole(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer, size: int
) -> None:
    body = bytes(number % 251 for number in range(size))  # not JSON, with every kind of byte
    upstream.behaviour = answer(body=body, headers={"content-type": "application/octet-stream"})
    replies = await asyncio.gather(*(producer.request(PATH, chat(), agent=f"a{n}") for n in range(5)))
    assert all(reply.body == body for reply in replies)
    async with AsyncProducer(redis_url, pool=POOL) as other:
        assert await other.result(replies[0].id) == replies[0]


@pytest.mark.usefixtures("at_rest")
async def test_replies_that_were_read_take_no_room_for_long(
    client: Redis, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = answer(body=b"x" * 7_000)
    most = 0
    for _ in range(40):  # one after the other, so that the reader never sees an empty inbox for two seconds
        await producer.request(PATH, chat())
        [inbox] = [key async for key in client.scan_iter("sg:{chat}:inbox:*")]
        notices: list[Any] = await client.xrange(inbox) or []
        most = max(most, sum(len(reply) for _, notice in notices for reply in notice.values()))
    assert 7_000 <= most <= 65_536 + 2 * 7_500


async def test_requests_that_begin_while_a_producer_closes_have_an_answer(client: Redis, redis_url: str) -> None:
    await apply_settings(make_settings(redis_url))
    for turns in range(30):
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
            calls = [asyncio.create_task(producer.submit(PATH, chat(), agent=f"a{n}")) for n in range(5)]
            await let_others_run(turns)
        calls.append(asyncio.create_task(producer.submit(PATH, chat())))
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(outcomes.pop(), StoreUnavailable)
        assert all(isinstance(outcome, Ticket | StoreUnavailable) for outcome in outcomes), outcomes


async def test_a_closed_inbox_takes_nobody(redis_url: str) -> None:
    async with Store(redis_url) as store:
        inbox = Inbox(store, PoolKeys(POOL), "p1")
        await inbox.close()
        with pytest.raises(StoreUnavailable, match="the producer is closed; use another, or open it again"):
            inbox.expect("r1", 5)


@pytest.mark.usefixtures("at_rest")
async def test_a_producer_can_be_opened_again(redis_url: str, dispatcher: Dispatcher) -> None:
    producer = AsyncProducer(redis_url, pool=POOL, agent="ann")
    for _ in range(2):
        async with producer, asyncio.timeout(20):
            assert (await producer.request(PATH, chat())).status == 200


async def test_a_connection_that_is_made_while_all_are_closed_is_closed_too(client: Redis, redis_url: str) -> None:
    pool = ConnectionPool.from_url(redis_url, protocol=2, client_name="late")
    connections = Connections(pool, 10)
    command = asyncio.create_task(connections.execute_command("PING"))
    await let_others_run(1)  # it has begun to connect
    await connections.aclose()
    assert await command in (True, b"PONG")
    assert [one for one in await client.client_list() if one["name"] == "late"] == []


@pytest.mark.usefixtures("at_rest")
async def test_a_server_that_forgot_the_scripts_is_told_again(
    client: Redis, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    calls = [asyncio.create_task(producer.request(PATH, chat(), agent=f"a{n}")) for n in range(30)]
    for _ in range(10):
        await client.script_flush()
        calls.append(asyncio.create_task(producer.request(PATH, chat())))
        await calls[-1]
    assert {reply.status for reply in await asyncio.gather(*calls)} == {200}
    assert len(upstream.arrivals) == 40


@pytest.mark.usefixtures("at_rest")
async def test_broken_connections_lose_and_repeat_nothing(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    settings = make_settings(redis_url, upstream.base_url, upstream={"rpm": 6_000})
    async with Dispatcher(settings):
        await producer.request(PATH, chat())
        calls = [asyncio.create_task(producer.request(PATH, chat(), agent=f"a{n % 7}")) for n in range(150)]
        for done in (10, 60, 110):
            await wait_until(lambda done=done: len(upstream.arrivals) > done, f"{done} calls arrived")  # type: ignore[misc]
            await client.client_kill_filter(_type="normal", skipme=True)
            calls += [asyncio.create_task(producer.request(PATH, chat(), agent="late")) for _ in range(5)]
        replies = await asyncio.gather(*calls)
    assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}
    ids = [arrival.headers["idempotency-key"] for arrival in upstream.arrivals]
    assert len(ids) == len(set(ids)) == 166


@pytest.mark.usefixtures("at_rest")
async def test_a_request_whose_connection_breaks_on_the_way_in_is_sent_again(
    client: Redis, redis_url: str, producer: AsyncProducer
) -> None:
    await apply_settings(make_settings(redis_url))
    await (await producer.submit(PATH, chat())).cancel()  # so that the next need nothing but the way in
    async with holding_writes(client) as held:
        submitting = asyncio.create_task(producer.submit(PATH, chat()))
        await wait_until(held, "the request is at the server")
        await client.client_kill_filter(_type="normal", skipme=True)
    ticket = await submitting
    assert await send(client, "HGET", "sg:{chat}:sched", "waiting") == b"1"
    await ticket.cancel()


@pytest.fixture
async def restarting() -> AsyncIterator[RestartingServer]:
    with RestartingServer() as server:
        yield server
        async with Redis.from_url(server.url, protocol=2) as client:
            await assert_at_rest(client, POOL)


async def test_a_restart_of_the_server_loses_nothing(
    restarting: RestartingServer, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()
    upstream.next_up.extend([once(gate, answer())] * 10)
    settings = make_settings(restarting.url, upstream.base_url, upstream={"rpm": 6_000})
    async with Dispatcher(settings), AsyncProducer(restarting.url, pool=POOL) as producer:
        calls = [asyncio.create_task(producer.request(PATH, chat(), agent=f"a{n % 7}")) for n in range(100)]
        await wait_until(lambda: len(upstream.arrivals) >= 10, "ten calls are in flight, and many wait")
        restarting.kill()
        gate.set()  # answers that were paid for come while nobody can write them down
        await wait_until(lambda: "outcomes that wait for Redis" in caplog.text, "the dispatcher cannot write")
        restarting.start()
        replies = await asyncio.gather(*calls)
    assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}
    assert len(upstream.arrivals) == 100


async def test_an_unreachable_server_is_named_without_its_password(caplog: pytest.LogCaptureFixture) -> None:
    port = find_free_port()
    with pytest.raises(StoreUnavailable) as refused:
        async with AsyncProducer(f"redis://user:{PASSWORD}@127.0.0.1:{port}/0", pool=POOL):
            pass
    message = str(refused.value)
    assert f"redis://127.0.0.1:{port}/0" in message
    assert "is it running" in message
    assert PASSWORD not in message + caplog.text
    assert "\n" not in message


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "http://user:hunter2-planted@x/0",
        "redis://:hunter2-planted@x:port/0",
        "redis://:hunter2-planted@x/0?timeout=3",
    ],
)
async def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="Redis URL") as refused:
        async with AsyncProducer(url, pool=POOL):
            pass
    assert PASSWORD not in str(refused.value)


async def test_wrong_credentials_are_said() -> None:
    with EmbeddedServer("--requirepass", "right") as server:
        for secret in ("", f":{PASSWORD}@"):
            with pytest.raises(StoreUnavailable, match="credentials") as refused:
                async with AsyncProducer(server.url.replace("//", f"//{secret}"), pool=POOL):
                    pass
            assert PASSWORD not in str(refused.value)


async def test_a_server_that_drops_keys_is_refused() -> None:
    with EmbeddedServer("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        with pytest.raises(StoreUnavailable, match="set maxmemory-policy noeviction"):
            async with AsyncProducer(server.url, pool=POOL):
                pass
        with pytest.raises(StoreUnavailable, match="set maxmemory-policy noeviction"):
            async with Dispatcher(make_settings(server.url)):
                pass


async def test_a_full_server_takes_nothing_new_but_still_answers(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    with EmbeddedServer("--appendonly", "no") as server:
        settings = make_settings(server.url, upstream.base_url)
        await apply_settings(settings)
        async with Redis.from_url(server.url) as client, AsyncProducer(server.url, pool=POOL, agent="ann") as producer:
            tickets = [await producer.submit(PATH, chat()) for _ in range(20)]
            await client.config_set("maxmemory", 1)
            with pytest.raises(StoreUnavailable, match="maxmemory"):
                await producer.submit(PATH, chat())
            async with Dispatcher(settings):
                assert {(await ticket.reply()).status for ticket in tickets} == {200}
            await assert_at_rest(client, POOL)
    assert caplog.text == ""


async def test_where_scripts_are_forbidden_nothing_is_sent_and_it_is_said(client: Redis, redis_url: str) -> None:
    """And nobody counts for himself instead."""
    await client.acl_setuser(
        "unscripted", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all", "-@scripting"]
    )
    try:
        url = redis_url.replace("redis://", "redis://unscripted:secret@")
        await apply_settings(make_settings(redis_url))
        async with AsyncProducer(url, pool=POOL, agent="ann") as producer:
            with pytest.raises(StoreUnavailable, match="no permissions to run"):
                await producer.submit(PATH, {})
    finally:
        await client.acl_deluser("unscripted")
