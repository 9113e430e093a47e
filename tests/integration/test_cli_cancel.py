"""`sluicegate cancel`: ends what has no outcome yet, and says what was there first otherwise."""

from redis.asyncio import Redis

from sluicegate import AsyncProducer
from support.commands import CommandLine, assert_refused
from support.leaks import assert_no_leaked_keys
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.waiting import wait_until


async def test_what_waits_is_cancelled(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    await apply_settings(make_settings(url))
    async with AsyncProducer(url, pool=POOL, agent="ann") as producer:
        waiting = await producer.submit(PATH, {})
        delayed = await producer.submit(PATH, {}, not_before=60)
    ended = await sluicegate("cancel", waiting.id)
    assert (ended.code, ended.out, ended.err) == (0, "cancelled\n", "")
    told = await sluicegate("cancel", delayed.id, "--json", "--pool", POOL)
    assert (told.code, told.document) == (0, {"schema": 1, "id": delayed.id, "state": "cancelled"})
    assert (await sluicegate("cancel", waiting.id)).out == "cancelled\n"
    assert_refused(await sluicegate("result", waiting.id), "was cancelled", code=1)
    await assert_no_leaked_keys(client, POOL)


async def test_a_call_in_flight_is_cancelled(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        held = await producer.submit(PATH, {"do": "hold"})
        await wait_until(lambda: client.xlen("sg:{chat}:run"), "it is in flight")
        assert (await sluicegate("cancel", held.id)).out == "cancelled\n"
    assert (await sluicegate("result", held.id, "--json")).document["state"] == "cancelled"
    await assert_no_leaked_keys(client, POOL)


async def test_an_outcome_that_was_there_first_stays(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        reply = await producer.request(PATH, {})
    ended = await sluicegate("cancel", reply.id)
    assert (ended.code, ended.out, ended.err) == (1, "ok\n", "")
    assert (await sluicegate("cancel", reply.id, "--json")).document["state"] == "ok"
    assert (await sluicegate("result", reply.id)).code == 0


async def test_an_unknown_id_is_bad_news_and_a_wrong_one_wrong_usage(sluicegate: CommandLine) -> None:
    assert_refused(await sluicegate("cancel", "nobody"), "no request nobody at redis://", code=1)
    await apply_settings(make_settings(sluicegate.redis_url))
    assert_refused(await sluicegate("cancel", "nobody"), "no request nobody at redis://", code=1)
    assert_refused(await sluicegate("cancel", "a:b"), "id must be 1 to 64")
    assert_refused(await sluicegate("cancel"), "Missing argument 'ID'")
