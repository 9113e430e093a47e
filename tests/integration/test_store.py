"""What stands between us and Redis: commands that go once, scripts that are told again, outcomes nobody rang for."""

import asyncio

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, StoreUnavailable
from sluicegate.keys import PoolKeys
from sluicegate.script_files import WATCH
from sluicegate.store import Store
from sluicegate_worker import Dispatcher
from support.pools import chat, make_settings
from support.served_pool import PATH, POOL, apply_settings
from support.stored import send
from support.upstream import Upstream
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")

KEYS = PoolKeys(POOL)


async def cut_others(client: Redis) -> None:
    await client.client_kill_filter(_type="normal", skipme=True)


async def waits_in(client: Redis, command: str) -> bool:
    return any(one["cmd"] == command and "b" in one["flags"] for one in await client.client_list())


@pytest.mark.parametrize("way", ["call", "wait"])
async def test_a_command_whose_connection_breaks_is_not_sent_again(client: Redis, redis_url: str, way: str) -> None:
    async with Store(redis_url) as store:
        waiting = asyncio.ensure_future(getattr(store, way)("BLPOP", "nothing", 4))
        await wait_until(lambda: waits_in(client, "blpop"), "the server has it")
        await cut_others(client)
        with pytest.raises(StoreUnavailable):
            await waiting


async def test_a_connection_that_was_closed_meanwhile_is_made_again(client: Redis, redis_url: str) -> None:
    async with Store(redis_url) as store:
        await store.call("ECHO", "before")
        await cut_others(client)
        await client.ping()  # by now its end has arrived
        assert await store.call("ECHO", "after") == b"after"


@pytest.mark.parametrize("way", ["call", "wait"])
async def test_an_answer_that_nobody_waits_for_any_more_goes_to_nobody_else(
    client: Redis, redis_url: str, way: str
) -> None:
    async with Store(redis_url) as store:
        waiting = asyncio.ensure_future(getattr(store, way)("BLPOP", "late", 4))
        await wait_until(lambda: waits_in(client, "blpop"), "the server has it")
        waiting.cancel()
        await asyncio.wait([waiting])
        assert await getattr(store, way)("ECHO", "mine") == b"mine"


async def test_a_script_that_the_server_forgot_is_told_it_again(client: Redis, redis_url: str) -> None:
    async with Store(redis_url) as store:
        for _ in range(3):
            assert await WATCH(store, KEYS, ("",), [("nobody",)]) == [[b"unknown"]]
            await client.script_flush()


async def test_an_outcome_that_nobody_rang_for_is_found_after_a_broken_connection(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
    ticket = await producer.submit(PATH, chat())
    await wait_until(lambda: waits_in(client, "xread"), "it waits for the bell")
    await send(client, "HSET", KEYS.request(ticket.id), "watchers", "")
    async with Dispatcher(settings):
        await wait_until(lambda: client.exists(KEYS.reply(ticket.id)), "the outcome is there")
    await cut_others(client)
    assert (await ticket.reply(10)).status == 200
