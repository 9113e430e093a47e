"""`sluicegate pending show`: all that is kept of one request without an outcome; its body only when asked for."""

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer
from support.commands import CommandLine, assert_refused
from support.dead_letters import make_dead
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.waiting import wait_until

ITEM = {
    "id", "agent", "lane", "state", "path", "model", "tokens", "attempt", "enqueued_at", "deadline_at", "due_at",
    "dispatcher", "lease_left_s", "last_error",
}  # fmt: skip
MORE = {
    "schema", "method", "headers", "attempts_used", "crashes", "key", "on_unknown", "body_bytes", "history",
}  # fmt: skip
BODY = b'{"big": 12345678901234567890.10, "text": "\\u001b[2J"}'


async def test_one_that_waits_is_shown_and_its_body_when_asked(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    await apply_settings(make_settings(url))
    async with AsyncProducer(url, pool=POOL, agent="ann") as producer:
        ticket = await producer.submit(
            PATH, BODY, key="k 1", headers={"traceparent": "00-ab"}, on_unknown="dead", deadline=60
        )
    told = (await sluicegate("pending", "show", ticket.id, "--json")).document
    assert told.keys() == ITEM | MORE
    assert (told["schema"], told["id"], told["state"], told["attempt"]) == (1, ticket.id, "waiting", 0)
    assert (told["method"], told["key"], told["on_unknown"]) == ("POST", "k 1", "dead")
    assert (told["headers"], told["body_bytes"]) == ({"traceparent": "00-ab"}, len(BODY))
    assert (told["history"], told["attempts_used"], told["crashes"], told["dispatcher"]) == ([], 0, 0, None)
    ended = await sluicegate("pending", "show", ticket.id)
    assert (ended.code, ended.err) == (0, "")
    assert all(word in ended.out for word in (ticket.id, "k 1", "traceparent: 00-ab", "--body"))
    assert "12345678901234567890" not in ended.out
    for arguments in ([], ["--json"]):
        whole = await sluicegate("pending", "show", ticket.id, "--body", "--pool", POOL, *arguments)
        assert '"big":12345678901234567890.10' in whole.out
        assert "\x1b" not in whole.out


async def test_flying_and_delayed_ones_are_shown(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)) as gate, AsyncProducer(url, pool=POOL, agent="ann") as producer:
        held = await producer.submit(PATH, {"do": "hold"})
        await wait_until(lambda: client.xlen("sg:{chat}:run"), "it is in flight")
        limited = await producer.submit(PATH, {"do": "limit"})
        await wait_until(lambda: client.xlen("sg:{chat}:retry"), "it was refused")
        flying = (await sluicegate("pending", "show", held.id, "--json")).document
        delayed = (await sluicegate("pending", "show", limited.id, "--json")).document
        text = (await sluicegate("pending", "show", limited.id)).out
        await limited.cancel()
        gate.set()
    assert (flying["state"], flying["attempt"]) == ("in_flight", 1)
    assert flying["dispatcher"]
    assert 0 < flying["lease_left_s"] <= 10
    assert (delayed["state"], delayed["last_error"], delayed["attempts_used"]) == ("delayed", "429 slow down", 0)
    assert delayed["due_at"] > delayed["enqueued_at"]
    assert [(note["attempt"], note["status"]) for note in delayed["history"]] == [(1, 429)]
    assert "429 slow down" in text


async def test_what_is_not_pending_names_the_right_command(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    assert_refused(await sluicegate("pending", "show", "nobody"), "no request nobody at redis://", code=1)
    (dead,) = await make_dead(url)
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        answered = await producer.request(PATH, {})
    assert_refused(await sluicegate("pending", "show", answered.id), f"`sluicegate result {answered.id}`", code=1)
    assert_refused(await sluicegate("pending", "show", dead, "--json"), f"`sluicegate dead show {dead}`", code=1)
    assert_refused(await sluicegate("pending", "show", "nobody"), "no request nobody at redis://", code=1)
    assert_refused(await sluicegate("pending", "show", "a:b"), "id must be 1 to 64")
    assert_refused(await sluicegate("pending", "show"), "Missing argument 'ID'")


@pytest.mark.damages
async def test_a_damaged_request_is_shown_as_far_as_it_goes(sluicegate: CommandLine, client: Redis) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    planted = {"place": "nowhere", "facts": "\x1b[2J express soon", "key": "\x1b[2J", "body": b"\x1b[2J\xff"}
    await client.hset("sg:{chat}:request:odd", mapping=planted)  # type: ignore[arg-type]  # bytes and text
    for arguments in ([], ["--body"], ["--json", "--body"]):
        ended = await sluicegate("pending", "show", "odd", *arguments)
        assert ended.code == 0, ended.err
        assert "\x1b" not in ended.out
    assert ended.document["agent"] == ended.document["key"] == "\x1b[2J"
