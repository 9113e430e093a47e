"""What cannot be decoded becomes a dead letter, loudly, and everything else goes on."""

import asyncio
import logging

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, DeadlineExceeded, RequestDead
from sluicegate.wire import Reply
from sluicegate_worker import Dispatcher
from sluicegate_worker.loops import leaser
from support.packed import FACTS, replace_fact
from support.pools import chat, make_settings
from support.served_pool import PATH, apply_settings
from support.stored import read_dead_letters
from support.upstream import Upstream
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")

BACKLOG = "sg:{chat}:backlog:interactive:ann"


async def count_undecodable(client: Redis) -> int:
    return sum(letter["reason"] == "undecodable" for letter in await read_dead_letters(client))


@pytest.mark.parametrize(
    "entry", [{"nonsense": "\x00\r\n"}, {"id": "nobody"}, {"id": "a b}{", "agent": "ann"}, {b"\xff": b"\xfe"}]
)
@pytest.mark.parametrize("stream", [BACKLOG, "sg:{chat}:run"])
async def test_a_stray_entry_is_buried(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, caplog: pytest.LogCaptureFixture,
    stream: str, entry: dict[str | bytes, str | bytes],
) -> None:  # fmt: skip
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
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
    "head",
    [b"", b"\xff\x00", b"[]", b"{}", b'{"method":"POST","path":"/../admin"}', b'{"method":"POST","path":"/files"}'],
)
async def test_an_unreadable_head_is_a_dead_letter(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, caplog: pytest.LogCaptureFixture,
    head: bytes,
) -> None:  # fmt: skip
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
    broken, sound = await producer.submit(PATH, chat()), await producer.submit(PATH, chat())
    await client.hset(f"sg:{{chat}}:request:{broken.id}", "head", head)
    async with Dispatcher(settings):
        with pytest.raises(RequestDead) as death:
            await broken.reply()
        assert (await sound.reply()).status == 200
    assert death.value.reason == "undecodable"
    assert broken.id in "".join(one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR)
    assert len(upstream.arrivals) == 1


NOISE = b"\xff\xfe"
PARTS = ["accepted_us", "lane", "agent", "deadline_us", "digest", "tokens_in"]
GONE: list[tuple[str, bytes | None]] = [(field, None) for field in ("facts", "place", "head", "body")]
NOISY: list[tuple[str, bytes | None]] = [
    (field, NOISE) for field in ("facts", "place", "attempts", "sends", "head", *PARTS)
]


async def damage(client: Redis, request_id: str, field: str, value: bytes | None) -> None:
    key = f"sg:{{chat}}:request:{request_id}"
    if value is None:
        await client.hdel(key, field)
    elif field in FACTS:
        facts = str(await client.hget(key, "facts"), "utf-8")  # type: ignore[arg-type]  # bytes, by this client
        await client.hset(key, "facts", replace_fact(facts, field, value.decode("latin-1")))
    else:
        await client.hset(key, field, value)


@pytest.mark.parametrize(("field", "value"), GONE + NOISY)
async def test_a_damaged_request_is_a_dead_letter_and_stops_nobody(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, field: str, value: bytes | None
) -> None:
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
    broken, sound = await producer.submit(PATH, chat()), await producer.submit(PATH, chat())
    await damage(client, broken.id, field, value)
    async with Dispatcher(settings):
        assert (await sound.reply(timeout=15)).status == 200
        with pytest.raises(RequestDead) as death:
            await broken.reply(timeout=15)
    assert death.value.reason == "undecodable"
    [letter] = await read_dead_letters(client)
    assert (letter["id"], letter["reason"]) == (broken.id, "undecodable")
    assert await client.hget("sg:{chat}:sched", "waiting") == b"0"
    assert len(upstream.arrivals) == 1


@pytest.mark.parametrize("field", ["accepted_us", "lane", "agent", "place", "deadline_us", "digest", "facts"])
async def test_a_damaged_request_that_is_delayed_or_expired_stops_nobody(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, field: str
) -> None:
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
    tickets = [await producer.submit(PATH, chat(), not_before=0.1), await producer.submit(PATH, chat(), deadline=0.1)]
    for ticket in tickets:
        await damage(client, ticket.id, field, b"?")

    async def is_due() -> bool:
        seconds, microseconds = await client.time()
        return bool(await client.zcount("sg:{chat}:due", "-inf", seconds * 1_000_000 + microseconds))

    await wait_until(is_due, "the delay is over, and so is the deadline")
    async with Dispatcher(settings):
        assert (await producer.request(PATH, chat())).status == 200
        for ticket in tickets:
            with pytest.raises((RequestDead, DeadlineExceeded)):
                await ticket.reply(timeout=15)
    if field == "place":
        await client.delete("sg:{chat}:retry")  # where in this stream it was, only the damaged field said
    assert len(upstream.arrivals) == 1


async def test_what_nobody_expected_is_logged_and_outlived(
    dispatcher: Dispatcher, producer: AsyncProducer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_logged() -> bool:
        return any("the lease loop of pool chat failed" in record.getMessage() for record in caplog.records)

    with monkeypatch.context() as broken:
        broken.setattr(leaser, "read_grant", None)
        await wait_until(is_logged, "the failure is logged")
    assert (await producer.request(PATH, chat())).status == 200
