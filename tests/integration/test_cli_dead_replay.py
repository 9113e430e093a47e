"""`sluicegate dead replay`: dead letters are answered after all, at the bucket's rate; by id or all of them."""

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestDead
from sluicegate_worker.cli.person import name_person
from sluicegate_worker.demo.measures import count_busiest
from sluicegate_worker.settings import Retry
from support.commands import CommandLine, assert_refused
from support.dead_letters import list_states, make_dead
from support.pools import make_settings as make_http_settings
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.stored import read_dead_letters, read_stream, send
from support.upstream import Upstream, answer


async def test_what_is_replayed_is_answered_at_the_rate(
    sluicegate: CommandLine, upstream: Upstream, at_rest: None
) -> None:
    settings = make_http_settings(
        sluicegate.redis_url, upstream.base_url, upstream={"rpm": 600}, retry=Retry(max_attempts=1)
    )
    async with serve(settings), AsyncProducer(sluicegate.redis_url, pool=POOL, agent="ann") as producer:
        upstream.behaviour = answer(500)
        tickets = [await producer.submit(PATH, {"n": number}) for number in range(15)]
        for ticket in tickets:
            with pytest.raises(RequestDead):
                await ticket.reply()
        upstream.behaviour = answer(200, b'{"at":"last"}')
        ended = await sluicegate("dead", "replay", "--all", "--yes")
        assert (ended.code, ended.out, ended.err) == (0, "replayed: 15\n", "")
        replies = [await producer.result(ticket.id, timeout=20) for ticket in tickets]
        assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}
        assert (await sluicegate("result", tickets[0].id)).document == {"at": "last"}
    again = upstream.arrivals[15:]
    assert len(again) == 15
    assert {arrival.headers["x-sluicegate-attempt"] for arrival in again} == {"1"}
    assert count_busiest([arrival.at for arrival in upstream.arrivals], 1.0) <= 11


async def test_by_id_the_others_are_done_and_the_missing_named(sluicegate: CommandLine, client: Redis) -> None:
    ids = await make_dead(sluicegate.redis_url, 3)
    ended = await sluicegate("dead", "replay", ids[0], "nobody", ids[2], ids[0])
    assert (ended.code, ended.out) == (1, "replayed: 2\n")
    assert ended.err == (
        "sluicegate: request nobody is not dead, or nothing of it is kept: try `sluicegate result nobody`\n"
    )
    assert await list_states(client, ids) == ["backlog", "dead", "backlog"]
    told = await sluicegate("dead", "replay", ids[0], ids[1], "--json", "--pool", POOL)
    assert (told.code, told.err.count("\n")) == (1, 1)
    assert told.document["counts"] == {"replayed": 1, "full": 0, "gone": 1}
    assert {item["id"]: item["result"] for item in told.document["items"]} == {ids[0]: "gone", ids[1]: "replayed"}
    assert (told.document["schema"], told.document["dry_run"]) == (1, False)
    who = [fields["who"] for fields in await read_stream(client, "audit") if fields["what"] == "replay"]
    assert who == [name_person()] * 2


async def test_filters_narrow_all_and_the_oldest_come_first(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    ann, bob = await make_dead(url, 3), await make_dead(url, 2, agent="bob")
    nothing = await sluicegate("dead", "replay", "--all", "--yes", "--reason", "poison")
    assert (nothing.code, nothing.out) == (0, "replayed: 0\n")
    assert (
        await sluicegate("dead", "replay", "--all", "--yes", "--agent", "ann", "--since", "600")
    ).out == "replayed: 3\n"
    assert await list_states(client, ann + bob) == ["backlog"] * 3 + ["dead"] * 2
    waiting = await read_stream(client, "backlog:interactive:ann")
    assert [fields["id"] for fields in waiting] == ann


async def test_a_dry_run_changes_nothing(sluicegate: CommandLine, client: Redis) -> None:
    ids = await make_dead(sluicegate.redis_url, 2)
    await client.xadd("sg:{chat}:dead", {"id": "", "reason": "undecodable"})
    before = await read_dead_letters(client)
    ended = await sluicegate("dead", "replay", "--all", "--dry-run")
    assert (ended.code, ended.out) == (0, "would be replayed: 2\n")
    assert "1 were passed over" in ended.err
    told = (await sluicegate("dead", "replay", ids[1], "--dry-run", "--json")).document
    assert (told["dry_run"], told["items"]) == (True, [{"id": ids[1], "result": "replayed"}])
    assert (await sluicegate("dead", "replay", "nobody", "--dry-run")).code == 1
    assert await read_dead_letters(client) == before
    assert await list_states(client, ids) == ["dead", "dead"]
    assert await client.xlen("sg:{chat}:audit") == 1


async def test_what_finds_no_room_stays_dead(sluicegate: CommandLine, client: Redis) -> None:
    ids = await make_dead(sluicegate.redis_url, 3)
    await apply_settings(make_settings(sluicegate.redis_url, max_backlog_per_agent=2))
    ended = await sluicegate("dead", "replay", "--all", "--yes")
    assert (ended.code, ended.out) == (1, "replayed: 2\n")
    assert "1 stay dead, for their backlogs are full" in ended.err
    assert await list_states(client, ids) == ["backlog", "backlog", "dead"]
    named = await sluicegate("dead", "replay", ids[2])
    assert (named.code, named.out) == (1, "replayed: 0\n")
    assert f"request {ids[2]} stays dead: its backlog is full" in named.err


async def test_hundreds_go_in_portions(sluicegate: CommandLine, client: Redis) -> None:
    (one,) = await make_dead(sluicegate.redis_url)
    for number in range(250):
        await client.copy(f"sg:{{chat}}:request:{one}", f"sg:{{chat}}:request:copy-{number}")
        entry = await send(client, "XADD", "sg:{chat}:dead", "*", "id", f"copy-{number}", "agent", "ann")
        await client.hset(f"sg:{{chat}}:request:copy-{number}", "place", f"dead {entry.decode()}")
    assert (await sluicegate("dead", "replay", "--all", "--yes")).out == "replayed: 251\n"
    assert await client.exists("sg:{chat}:dead") == 0
    assert await client.xlen("sg:{chat}:backlog:interactive:ann") == 251
    counts = [fields["count"] for fields in await read_stream(client, "audit") if fields["what"] == "replay"]
    assert counts == ["100", "100", "51"]


BAD = [
    ([], "name dead letters by ID, or say --all; --agent"),
    (["a", "--all"], "name dead letters by ID, or say --all; --agent"),
    (["a", "--agent", "ann"], "with IDs leave them out"),
    (["--agent", "ann"], "name dead letters by ID, or say --all; --agent"),
    (["--all"], "there is no terminal to ask at: say --yes"),
    (["--all", "--yes", "--reason", "boredom"], "--reason"),
    (["--all", "--yes", "--since", "-1"], "--since"),
    (["--all", "--yes", "--agent", "a:b"], "agent must be 1 to 64"),
    (["a:b"], "id must be 1 to 64"),
]


@pytest.mark.parametrize("verb", ["replay", "drop"])
@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
async def test_wrong_arguments_are_refused(
    arguments: list[str], message: str, verb: str, sluicegate: CommandLine
) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    assert_refused(await sluicegate("dead", verb, *arguments), message)
