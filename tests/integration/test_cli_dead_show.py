"""`sluicegate dead show`: everything that is kept of one dead letter; its body only when it is asked for."""

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestDead
from support.commands import CommandLine, assert_refused
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve

LETTER = {"id", "agent", "reason", "status", "attempts", "dead_at", "error", "history"}
MORE = {
    "schema", "state", "lane", "path", "model", "tokens", "enqueued_at", "deadline_at", "method", "headers", "crashes",
    "key", "on_unknown", "body_bytes",
}  # fmt: skip
BODY = b'{"do": "fail", "model": "m", "big": 12345678901234567890.10, "text": "\\u001b[2J"}'


@pytest.fixture
async def dead_id(sluicegate: CommandLine) -> str:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        ticket = await producer.submit(
            PATH, BODY, key="k 1", headers={"traceparent": "00-ab"}, priority="batch", deadline=60, tokens=7
        )
        with pytest.raises(RequestDead):
            await ticket.reply()
    return ticket.id


async def test_everything_but_the_body_is_shown(sluicegate: CommandLine, dead_id: str) -> None:
    told = (await sluicegate("dead", "show", dead_id, "--json", "--pool", POOL)).document
    assert told.keys() == LETTER | MORE
    assert (told["schema"], told["id"], told["state"], told["reason"]) == (1, dead_id, "dead", "attempts")
    assert (told["status"], told["attempts"], told["crashes"], told["tokens"]) == (500, 1, 0, 7)
    assert (told["lane"], told["path"], told["model"], told["method"]) == ("batch", PATH, "m", "POST")
    assert (told["headers"], told["key"], told["on_unknown"]) == ({"traceparent": "00-ab"}, "k 1", "retry")
    assert round(told["deadline_at"] - told["enqueued_at"], 3) == 60
    assert [note["status"] for note in told["history"]] == [500]
    assert told["body_bytes"] == len(BODY)
    ended = await sluicegate("dead", "show", dead_id)
    assert (ended.code, ended.err) == (0, "")
    assert all(word in ended.out for word in (dead_id, "k 1", "traceparent: 00-ab", '500 {"error":"broken"}', "--body"))
    assert "12345678901234567890" not in ended.out


async def test_the_body_comes_digit_by_digit_and_cannot_act(sluicegate: CommandLine, dead_id: str) -> None:
    for arguments in ([], ["--json"]):
        ended = await sluicegate("dead", "show", dead_id, "--body", *arguments)
        assert ended.code == 0
        assert '"big":12345678901234567890.10' in ended.out
        assert "\x1b" not in ended.out
        assert r"\u001b[2J" in ended.out


async def test_what_a_stranger_wrote_cannot_act(sluicegate: CommandLine, client: Redis, dead_id: str) -> None:
    request = f"sg:{{chat}}:request:{dead_id}"
    await client.hset(
        request, mapping={"key": "a\x1b[2J", "head": b"nonsense", "body": b"\x1b[2J\xff", "lane": b"\xff"}
    )
    ended = await sluicegate("dead", "show", dead_id, "--body")
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert ended.out.count(r"\x1b[2J") == 2


@pytest.mark.damages
async def test_a_letter_without_its_request_is_shown(sluicegate: CommandLine, client: Redis, dead_id: str) -> None:
    await client.delete(f"sg:{{chat}}:request:{dead_id}")
    told = (await sluicegate("dead", "show", dead_id, "--json", "--body")).document
    assert told.keys() == LETTER | MORE | {"body"}
    assert (told["reason"], told["state"], told["path"], told["body"]) == ("attempts", "dead", None, None)
    assert (await sluicegate("dead", "show", dead_id)).code == 0


async def test_what_is_not_dead_names_the_right_command(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    assert_refused(await sluicegate("dead", "show", "nobody"), "no request nobody at redis://", code=1)
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        answered = await producer.request(PATH, {})
        later = await producer.submit(PATH, {}, not_before=60)
    assert_refused(await sluicegate("dead", "show", answered.id), f"`sluicegate result {answered.id}`", code=1)
    assert_refused(
        await sluicegate("dead", "show", later.id, "--json"), f"`sluicegate pending show {later.id}`", code=1
    )
    assert_refused(await sluicegate("dead", "show", "nobody"), "no request nobody at redis://", code=1)
    assert_refused(await sluicegate("dead", "show", "a:b"), "id must be 1 to 64")
    assert_refused(await sluicegate("dead", "show"), "Missing argument 'ID'")


async def test_a_result_names_the_cure(sluicegate: CommandLine, dead_id: str) -> None:
    ended = await sluicegate("result", dead_id)
    assert_refused(ended, 'is dead (attempts) after 1 calls: 500 {"error":"broken"}', code=1)
    assert f"`sluicegate dead replay {dead_id}`" in ended.err


async def test_it_is_found_in_whichever_pool_it_is(sluicegate: CommandLine, dead_id: str) -> None:
    settings = make_settings(sluicegate.redis_url)
    settings.pools["another"] = settings.pools.pop(POOL)
    await apply_settings(settings)
    assert (await sluicegate("dead", "show", dead_id)).code == 0
    assert_refused(await sluicegate("dead", "show", dead_id, "--pool", "another"), "no request", code=1)
