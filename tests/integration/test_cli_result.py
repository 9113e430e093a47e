"""`sluicegate result`: the outcome of a request that another process submitted."""

import pytest

from sluicegate import AsyncProducer, RequestDead
from support.commands import CommandLine, assert_refused
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve

OUTCOME = {
    "schema", "id", "state", "agent", "attempts", "queued_s", "upstream_s", "upstream", "status", "headers", "usage",
    "reason", "error", "body",
}  # fmt: skip


async def test_an_answer_is_printed(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        reply = await producer.request(PATH, {"n": 1})
    ended = await sluicegate("result", reply.id)
    assert (ended.code, ended.err) == (0, "")
    assert ended.document == reply.json()
    told = await sluicegate("result", reply.id, "--json", "--pool", POOL)
    assert (told.code, told.err) == (0, "")
    assert told.document.keys() == OUTCOME
    assert (told.document["id"], told.document["state"], told.document["status"]) == (reply.id, "ok", 200)
    assert told.document["body"] == reply.json()


async def test_bad_news_is_exit_1(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        refused = await producer.request(PATH, {"do": "refuse"})
        dead = await producer.submit(PATH, {"do": "fail"})
        with pytest.raises(RequestDead):
            await dead.reply()
    ended = await sluicegate("result", refused.id)
    assert (ended.code, ended.document) == (1, {"error": {"message": "no such model"}})
    assert "with status 404" in ended.err
    assert_refused(await sluicegate("result", dead.id), "is dead (attempts)", code=1)
    told = await sluicegate("result", dead.id, "--json")
    assert (told.code, told.document["state"], told.document["reason"]) == (1, "dead", "attempts")
    assert (told.document["status"], told.document["body"]) == (500, None)


async def test_what_has_no_outcome_yet_is_named(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    await apply_settings(make_settings(url))
    async with AsyncProducer(url, pool=POOL, agent="ann") as producer:
        waiting = await producer.submit(PATH, {})
        delayed = await producer.submit(PATH, {}, not_before=60)
    for request_id, state in ((waiting.id, "waiting"), (delayed.id, "delayed")):
        assert_refused(await sluicegate("result", request_id), f"is not answered yet: it is {state}", code=1)
        told = await sluicegate("result", request_id, "--json")
        assert (told.code, told.document) == (1, {"schema": 1, "id": request_id, "state": state})


async def test_an_unknown_id_is_bad_news_and_a_wrong_one_wrong_usage(sluicegate: CommandLine) -> None:
    assert_refused(await sluicegate("result", "nobody"), "no request nobody at redis://", code=1)
    await apply_settings(make_settings(sluicegate.redis_url))
    assert_refused(await sluicegate("result", "nobody", "--json"), "no request nobody at redis://", code=1)
    assert_refused(await sluicegate("result", "a:b"), "id must be 1 to 64")
    assert_refused(await sluicegate("result", ""), "id must be 1 to 64")
    assert_refused(await sluicegate("result"), "Missing argument 'ID'")
