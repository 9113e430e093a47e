"""`sluicegate pending retry-now`: what is delayed is due at once, and goes through the bucket like anything else."""

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer
from support.commands import CommandLine, assert_refused
from support.dead_letters import list_states
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.stored import send


async def delay(url: str, count: int, agent: str = "ann") -> list[str]:
    """Requests that are not to be sent for a minute."""
    async with AsyncProducer(url, pool=POOL, agent=agent) as producer:
        return [(await producer.submit(PATH, {"n": n}, not_before=60)).id for n in range(count)]


async def list_due(client: Redis) -> list[str]:
    now_s, microseconds = await client.time()
    due = await send(client, "ZRANGEBYSCORE", "sg:{chat}:due", "-inf", now_s * 1_000_000 + microseconds)
    return [one.decode() for one in due]


async def test_it_is_answered_at_once(sluicegate: CommandLine, client: Redis, at_rest: None) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        ids = await delay(url, 2)
        assert await list_states(client, ids) == ["retry", "retry"]
        ended = await sluicegate("pending", "retry-now", *ids)
        assert (ended.code, ended.out, ended.err) == (0, "due 2\n", "")
        assert [(await producer.result(one, timeout=20)).json()["echo"]["n"] for one in ids] == [0, 1]


async def test_by_id_the_others_are_done_and_the_missing_named(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        answered = await producer.request(PATH, {})
    delayed, other = await delay(url, 2)
    async with AsyncProducer(url, pool=POOL, agent="ann") as producer:
        waiting = (await producer.submit(PATH, {})).id
    told = await sluicegate("pending", "retry-now", delayed, "nobody", answered.id, waiting, "--json")
    assert told.code == 1
    assert told.document["schema"] == 1
    assert told.document["counts"] == {"due": 1, "ok": 1, "unknown": 1, "waiting": 1}
    assert {item["id"]: item["state"] for item in told.document["items"]} == {
        delayed: "due", "nobody": "unknown", answered.id: "ok", waiting: "waiting",
    }  # fmt: skip
    assert told.err.splitlines() == [
        "sluicegate: request nobody is not pending (unknown): it was never accepted, or is long over",
        f"sluicegate: request {answered.id} is not pending (ok): see `sluicegate result {answered.id}`",
    ]
    assert await list_due(client) == [delayed]
    assert (await sluicegate("pending", "retry-now", waiting, other)).code == 0


async def test_an_agents_or_all_of_them(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    await apply_settings(make_settings(url))
    ann, bob = await delay(url, 150), await delay(url, 2, "bob")
    assert (await sluicegate("pending", "retry-now", "--agent", "bob")).out == "due 2\n"
    assert sorted(await list_due(client)) == sorted(bob)
    assert (await sluicegate("pending", "retry-now", "--all")).out == "due 152\n"
    assert sorted(await list_due(client)) == sorted(ann + bob)
    assert (await sluicegate("pending", "retry-now", "--agent", "nobody")).out == "nothing is delayed\n"


BAD = [
    ([], "name delayed requests by ID, or all by --all"),
    (["a", "--all"], "name delayed requests by ID, or all by --all"),
    (["a", "--agent", "ann"], "name delayed requests by ID, or all by --all"),
    (["--agent", "a:b"], "agent must be 1 to 64"),
    (["a:b"], "id must be 1 to 64"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
async def test_wrong_arguments_are_refused(arguments: list[str], message: str, sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    assert_refused(await sluicegate("pending", "retry-now", *arguments), message)
