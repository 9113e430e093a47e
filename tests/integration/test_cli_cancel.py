"""`sluicegate cancel`: ends what has no outcome yet, and says what was there first otherwise."""

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer
from sluicegate.store import Store
from sluicegate_worker.cli.cancel import cancel_agent
from sluicegate_worker.observe.item import Item
from sluicegate_worker.observe.pending import Filter, collect_pending
from support.commands import CommandLine, assert_refused
from support.leaks import assert_at_rest
from support.packed import replace_fact
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
    await assert_at_rest(client, POOL)


async def test_a_call_in_flight_is_cancelled(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        held = await producer.submit(PATH, {"do": "hold"})
        await wait_until(lambda: client.xlen("sg:{chat}:run"), "it is in flight")
        assert (await sluicegate("cancel", held.id)).out == "cancelled\n"
    assert (await sluicegate("result", held.id, "--json")).document["state"] == "cancelled"
    await assert_at_rest(client, POOL)


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


async def test_everything_of_an_agent_is_cancelled(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    settings = make_settings(url, max_in_flight=1)
    settings.pools["another"] = settings.pools[POOL]
    async with (
        serve(settings) as gate,
        AsyncProducer(url, pool=POOL, agent="ann") as producer,
        AsyncProducer(url, pool="another", agent="ann") as elsewhere,
    ):
        held = await producer.submit(PATH, {"do": "hold"})
        await wait_until(lambda: client.xlen("sg:{chat}:run"), "it is in flight")
        ids = [held.id, (await producer.submit(PATH, {}, not_before=60)).id]
        for lane in ("interactive", "batch"):
            ids += [(await producer.submit(PATH, {}, priority=lane)).id for _ in range(70)]
        bystander = await producer.submit(PATH, {}, agent="bob")
        apart = await elsewhere.submit(PATH, {}, not_before=60)
        first = await sluicegate("cancel", "--agent", "ann", "--all", "--pool", POOL)
        assert (first.code, first.out, first.err) == (0, "cancelled 142\n", "")
        assert await apart.cancel() == "cancelled"
        last = await elsewhere.submit(PATH, {}, not_before=60)
        told = await sluicegate("cancel", "--agent", "ann", "--all", "--json")
        assert (told.code, told.document) == (0, {"schema": 1, "agent": "ann", "states": {"cancelled": 1}})
        gate.set()
        assert (await bystander.reply()).status == 200
    for one in (*ids[:2], ids[-1], last.id):
        assert (await sluicegate("result", one, "--json")).document["state"] == "cancelled"
    nothing = await sluicegate("cancel", "--agent", "ann", "--all")
    assert (nothing.code, nothing.out) == (0, "nothing of agent ann is pending\n")
    await assert_at_rest(client, POOL, "another")


async def test_what_was_overlooked_while_it_moved_is_found_at_the_second_look(
    redis_url: str, producer: AsyncProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at one stream and at the next, a request can go from the second into the first."""
    await apply_settings(make_settings(redis_url))
    await producer.submit(PATH, {})
    looks = 0

    async def overlook_once(store: Store, pool: str, wanted: Filter) -> tuple[float, list[Item]]:
        nonlocal looks
        looks += 1
        now_s, items = await collect_pending(store, pool, wanted)
        return now_s, items if looks > 1 else []

    monkeypatch.setattr("sluicegate_worker.cli.cancel.collect_pending", overlook_once)
    async with Store(redis_url) as store:
        assert await cancel_agent(store, POOL, "ann") == {"cancelled": 1}


async def test_a_damaged_request_does_not_keep_it_going(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    await apply_settings(make_settings(url))
    async with AsyncProducer(url, pool=POOL, agent="ann") as producer:
        damaged, whole = [await producer.submit(PATH, {}) for _ in range(2)]
    key = f"sg:{{chat}}:request:{damaged.id}"
    facts = str(await client.hget(key, "facts"), "utf-8")  # type: ignore[arg-type]  # bytes, by this client
    await client.hset(key, "facts", replace_fact(facts, "digest", "?"))
    ended = await sluicegate("cancel", "--agent", "ann", "--all")
    assert (ended.code, ended.out) == (0, "cancelled 1\ndead 1\n")
    assert (await sluicegate("result", whole.id, "--json")).document["state"] == "cancelled"


BAD = [
    ([], "name one request by its ID, or everything of an agent by --agent NAME --all"),
    (["--agent", "ann"], "name one request by its ID"),
    (["--all"], "name one request by its ID"),
    (["some-id", "--agent", "ann"], "name one request by its ID"),
    (["some-id", "--all"], "name one request by its ID"),
    (["--agent", "a:b", "--all"], "agent must be 1 to 64"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
async def test_wrong_arguments_are_refused(arguments: list[str], message: str, sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    assert_refused(await sluicegate("cancel", *arguments), message)
