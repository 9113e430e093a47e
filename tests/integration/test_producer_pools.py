"""Which pool a request goes to, what it says when there is none, and agents that start before dispatchers."""

import asyncio

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, InvalidRequest
from sluicegate_worker import Dispatcher
from sluicegate_worker.settings import Settings
from support.pools import chat, make_pool, make_settings
from support.served_pool import PATH, POOL, apply_settings
from support.stored import watch_commands
from support.upstream import Upstream
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")


@pytest.fixture
def two_pools(redis_url: str, upstream: Upstream) -> Settings:
    """`chat` takes every model, `other` those whose names begin with big."""
    return Settings(
        redis_url=redis_url,
        pools={
            POOL: make_pool(upstream.base_url, models=("*",)),
            "other": make_pool(upstream.base_url, models=("big-*",), upstream={"name": "b"}),
        },
    )


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits ten seconds here for a pool that will not come."""
    monkeypatch.setattr("sluicegate.pool.POOL_WAIT_S", 0.3)
    monkeypatch.setattr("sluicegate.producer.POOL_WAIT_S", 0.3)


async def test_the_model_chooses_the_pool(redis_url: str, two_pools: Settings) -> None:
    async with Dispatcher(two_pools), AsyncProducer(redis_url, agent="ann") as producer:
        replies = await asyncio.gather(
            *(producer.request(PATH, chat(model=model)) for model in ("small", "big-7", "bigger"))
        )
        assert [reply.upstream for reply in replies] == ["a", "b", "a"]  # the longest pattern that fits
        assert [await producer.result(reply.id) for reply in replies] == replies
        with pytest.raises(InvalidRequest, match="name the pool"):
            await producer.request(PATH, {"messages": []})


async def test_each_pool_has_a_connection_to_wait_on(client: Redis, redis_url: str, two_pools: Settings) -> None:
    """With one for both, the replies of one pool would wait until the other's read ends."""
    await apply_settings(two_pools)
    async with AsyncProducer(redis_url, agent="ann") as producer:
        tickets = [await producer.submit(PATH, chat(model=model)) for model in ("small", "big-7")]

        async def wait_both() -> bool:
            return sum(one["cmd"] == "xread" for one in await client.client_list()) == 2

        await wait_until(wait_both, "both inboxes are waited on at the same time")
        for ticket in tickets:
            await ticket.cancel()


async def test_a_pool_that_does_not_serve_the_model_names_the_one_that_does(redis_url: str, upstream: Upstream) -> None:
    pools = {POOL: make_pool(models=("small", "mid-*")), "other": make_pool(models=("big-*",))}
    await apply_settings(Settings(redis_url=redis_url, pools=pools))
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
        with pytest.raises(InvalidRequest, match=r"pool chat does not serve model 'big-7' .*pool other serves it"):
            await producer.request(PATH, chat(model="big-7"))
        with pytest.raises(InvalidRequest, match="no pool serves it"):
            await producer.request(PATH, chat(model="huge"))
        await (await producer.submit(PATH, {"messages": []})).cancel()  # without a model it goes where it is sent
    async with AsyncProducer(redis_url, agent="ann") as anywhere:
        with pytest.raises(InvalidRequest, match=r"no pool serves model 'huge'; the pools are chat, other"):
            await anywhere.request(PATH, chat(model="huge"))


@pytest.mark.parametrize("pool", [POOL, None])
async def test_agents_may_start_before_dispatchers(
    client: Redis, redis_url: str, upstream: Upstream, pool: str | None
) -> None:
    async with AsyncProducer(redis_url, pool=pool, agent="ann") as early:
        async with watch_commands(client) as commands:
            calls = [asyncio.create_task(early.request(PATH, chat(str(number)))) for number in range(20)]
            await wait_until(lambda: len(commands) >= 2, "the pool was asked for twice")
        assert not any(call.done() for call in calls)
        async with Dispatcher(make_settings(redis_url, upstream.base_url)):
            assert {reply.status for reply in await asyncio.gather(*calls)} == {200}


@pytest.mark.parametrize("pool", [POOL, None])
async def test_no_pool_names_the_cure(redis_url: str, short_wait: None, pool: str | None) -> None:
    async with AsyncProducer(redis_url, pool=pool, agent="ann") as producer:
        with pytest.raises(InvalidRequest, match="`sluicegate pool apply`"):
            await producer.request(PATH, chat())


async def test_a_changed_policy_is_followed_at_once(redis_url: str, short_wait: None, producer: AsyncProducer) -> None:
    async with AsyncProducer(redis_url, agent="ann") as anywhere:
        await apply_settings(make_settings(redis_url, models=("small",)))
        for one in (producer, anywhere):
            await (await one.submit(PATH, chat())).cancel()
        await apply_settings(make_settings(redis_url, models=("small", "large"), max_request_bytes=200))
        for one in (producer, anywhere):
            await (await one.submit(PATH, chat(model="large"))).cancel()
            with pytest.raises(InvalidRequest, match="200"):
                await one.submit(PATH, chat("x" * 300))


async def test_a_pool_that_is_gone_is_said(client: Redis, redis_url: str, producer: AsyncProducer) -> None:
    await apply_settings(make_settings(redis_url))
    await (await producer.submit(PATH, chat())).cancel()
    await client.flushall()
    with pytest.raises(InvalidRequest, match="`sluicegate pool apply`"):
        await producer.submit(PATH, chat())
