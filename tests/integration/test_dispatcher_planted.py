"""What cannot be decoded becomes a dead letter, loudly, and everything else goes on."""

import asyncio
import logging

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestDead
from sluicegate.wire import Reply
from sluicegate_worker import Dispatcher
from support.pools import PATH, apply_pools, chat, make_settings
from support.upstream import Upstream
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")

BACKLOG = "sg:{chat}:backlog:interactive:ann"


async def count_undecodable(client: Redis) -> int:
    return sum(entry[b"reason"] == b"undecodable" for _, entry in await client.xrange("sg:{chat}:dead"))


@pytest.mark.parametrize(
    "entry", [{"nonsense": "\x00\r\n"}, {"id": "nobody"}, {"id": "a b}{", "agent": "ann"}, {b"\xff": b"\xfe"}]
)
@pytest.mark.parametrize("stream", [BACKLOG, "sg:{chat}:run"])
async def test_a_stray_entry_is_buried(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, caplog: pytest.LogCaptureFixture,
    stream: str, entry: dict[str | bytes, str | bytes],
) -> None:  # fmt: skip
    settings = make_settings(redis_url, upstream.base_url)
    await apply_pools(settings)
    tickets = [await producer.submit(PATH, chat("before"))]
    for _ in range(3):
        await client.xadd(stream, entry)  # type: ignore[arg-type]  # bytes serve as well as text
    tickets.append(await producer.submit(PATH, chat("after")))
    async with Dispatcher(settings):
        replies: list[Reply] = await asyncio.gather(*(ticket.reply() for ticket in tickets))
        assert {reply.status for reply in replies} == {200}
    assert await count_undecodable(client) == 3
    assert "dead letters" in "".join(one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR)
    assert len(upstream.arrivals) == 2


async def test_nothing_but_a_stray_entry_leaves_nothing(
    client: Redis, redis_url: str, dispatcher: Dispatcher, upstream: Upstream
) -> None:
    await client.xadd(BACKLOG, {"id": "nobody"})
    await client.zadd("sg:{chat}:ring:interactive", {"ann": 0, "ben": 0})
    await client.zadd("sg:{chat}:due", {"nobody": 0})
    await client.zadd("sg:{chat}:expiry", {"nobody": 0})

    async def is_tidy() -> bool:
        return not await client.exists(BACKLOG, "sg:{chat}:ring:interactive", "sg:{chat}:due", "sg:{chat}:expiry")

    await wait_until(is_tidy, "what was planted is gone")
    assert await count_undecodable(client) >= 2


@pytest.mark.parametrize(
    "head", [b"", b"\xff\x00", b"[]", b"{}", b'{"method":"POST","path":"/../admin"}', b'{"method":"POST","path":"/files"}']
)
async def test_an_unreadable_head_is_a_dead_letter(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, caplog: pytest.LogCaptureFixture,
    head: bytes,
) -> None:  # fmt: skip
    settings = make_settings(redis_url, upstream.base_url)
    await apply_pools(settings)
    broken, sound = await producer.submit(PATH, chat()), await producer.submit(PATH, chat())
    await client.hset(f"sg:{{chat}}:request:{broken.id}", "head", head)  # type: ignore[arg-type]  # bytes serve as well
    async with Dispatcher(settings):
        with pytest.raises(RequestDead) as death:
            await broken.reply()
        assert (await sound.reply()).status == 200
    assert death.value.reason == "undecodable"
    assert broken.id in "".join(one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR)
    assert len(upstream.arrivals) == 1


@pytest.mark.parametrize(
    "field", ["accepted_us", "lane", "agent", "place", "attempts", "sends", "deadline_us", "head", "body", "digest"]
)
@pytest.mark.parametrize("value", [None, b"\xff\xfe"])
async def test_a_damaged_request_does_not_stop_the_others(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, field: str, value: bytes | None
) -> None:
    settings = make_settings(redis_url, upstream.base_url)
    await apply_pools(settings)
    broken, sound = await producer.submit(PATH, chat()), await producer.submit(PATH, chat())
    if value is None:
        await client.hdel(f"sg:{{chat}}:request:{broken.id}", field)
    else:
        await client.hset(f"sg:{{chat}}:request:{broken.id}", field, value)  # type: ignore[arg-type]  # bytes serve as well
    async with Dispatcher(settings):
        assert (await sound.reply(timeout=15)).status == 200
    await client.delete(f"sg:{{chat}}:request:{broken.id}")
