"""`sluicegate dead list`: the newest first, with why and after what, page by page."""

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestDead
from support.commands import CommandLine, assert_refused
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve

LETTER = {"id", "agent", "reason", "status", "attempts", "dead_at", "error", "history"}
NOTE = {"attempt", "at", "upstream", "status", "error"}


async def plant(client: Redis, count: int) -> list[str]:
    """Dead letters a second apart, the last one just now; their ids, newest first."""
    now_ms = int((await client.time())[0]) * 1000
    for number in range(count):
        letter = {"id": f"id-{number}", "agent": f"agent-{number % 2}", "reason": "quota", "status": "", "attempts": 1}
        await client.xadd("sg:{chat}:dead", letter, id=f"{now_ms - 1000 * (count - 1 - number)}-0")  # type: ignore[arg-type]  # redis-py wants every type at once
    return [f"id-{number}" for number in reversed(range(count))]


async def list_ids(sluicegate: CommandLine, *arguments: str) -> list[str]:
    items = (await sluicegate("dead", "list", "--json", *arguments)).document["items"]
    return [item["id"] for item in items]


async def test_a_dead_letter_tells_its_story(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        first = await producer.submit(PATH, {"do": "fail"})
        with pytest.raises(RequestDead):
            await first.reply()
        second = await producer.submit(PATH, {"do": "fail"}, agent="bob")
        with pytest.raises(RequestDead):
            await second.reply()
    document = (await sluicegate("dead", "list", "--json")).document
    assert document.keys() == {"schema", "items", "next"}
    assert (document["schema"], document["next"]) == (1, None)
    newest, oldest = document["items"]
    assert [newest["id"], oldest["id"]] == [second.id, first.id]
    assert newest.keys() == LETTER
    assert (newest["agent"], newest["reason"], newest["status"], newest["attempts"]) == ("bob", "attempts", 500, 1)
    now_s, _ = await client.time()
    assert 0 <= now_s + 1 - newest["dead_at"] < 120
    (note,) = newest["history"]
    assert note.keys() == NOTE
    assert (note["attempt"], note["upstream"], note["status"]) == (1, "a", 500)
    assert note["error"] == newest["error"] == '500 {"error":"broken"}'
    assert 0 <= now_s + 1 - note["at"] < 120
    table = (await sluicegate("dead", "list")).out
    assert [second.id in line for line in table.splitlines()] == [False, True, False]


@pytest.mark.damages
async def test_pages_lose_and_repeat_nothing(sluicegate: CommandLine, client: Redis) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    planted = await plant(client, 250)
    seen: list[str] = []
    cursor: list[str] = []
    for limit in (120, 110, 20):
        document = (await sluicegate("dead", "list", "--json", "--limit", str(limit), *cursor)).document
        seen += [item["id"] for item in document["items"]]
        assert (document["next"] is None) == (limit == 20)
        cursor = ["--cursor", document["next"] or ""]
    assert seen == planted
    assert "there are more: --cursor " in (await sluicegate("dead", "list")).out


@pytest.mark.damages
async def test_filters_narrow_the_list(sluicegate: CommandLine, client: Redis) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    planted = await plant(client, 130)
    await client.xadd("sg:{chat}:dead", {"id": "other", "agent": "ann", "reason": "poison"})
    limit = ["--limit", "1000"]
    assert await list_ids(sluicegate, *limit, "--agent", "agent-0") == [i for i in planted if int(i[3:]) % 2 == 0]
    assert await list_ids(sluicegate, *limit, "--reason", "poison") == ["other"]
    assert await list_ids(sluicegate, *limit, "--agent", "ann", "--reason", "quota") == []
    recent = await list_ids(sluicegate, *limit, "--since", "60.5", "--reason", "quota")
    assert planted[: len(recent)] == recent
    assert 0 < len(recent) <= 61
    page = (await sluicegate("dead", "list", "--json", "--agent", "agent-0", "--limit", "64")).document
    rest = await list_ids(sluicegate, *limit, "--agent", "agent-0", "--cursor", page["next"])
    assert rest == ["id-0"]


@pytest.mark.damages
async def test_what_could_not_be_read_is_shown_without_acting(sluicegate: CommandLine, client: Redis) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    await client.xadd("sg:{chat}:dead", {"reason": "undecodable", "error": "\x1b[2J[red]", "history": "nonsense"})
    await client.xadd("sg:{chat}:dead", {"x": b"\xff", "status": "soon", "attempts": "-"}, id="18446744073709551614-1")
    strange, letter = (await sluicegate("dead", "list", "--json")).document["items"]
    assert (strange["id"], strange["status"], strange["attempts"], strange["history"]) == ("", None, 0, [])
    assert (letter["id"], letter["reason"], letter["error"], letter["history"]) == (
        "",
        "undecodable",
        "\x1b[2J[red]",
        [],
    )
    ended = await sluicegate("dead", "list")
    assert ended.code == 0
    assert r"\x1b[2J[red]" in ended.out


async def test_an_empty_list_is_no_bad_news(sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    ended = await sluicegate("dead", "list")
    assert (ended.code, ended.out) == (0, "no dead letters\n")
    assert (await sluicegate("dead", "list", "--json")).document == {"schema": 1, "items": [], "next": None}


BAD = [
    (["--cursor", "nonsense"], "--cursor is not the `next`"),
    (["--cursor", "+"], "--cursor is not the `next`"),
    (["--reason", "boredom"], "--reason"),
    (["--since", "0"], "--since"),
    (["--since", "nan"], "--since"),
    (["--limit", "0"], "--limit"),
    (["--limit", "ten"], "--limit"),
    (["--agent", "a:b"], "agent must be 1 to 64"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
async def test_wrong_options_are_refused(arguments: list[str], message: str, sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    assert_refused(await sluicegate("dead", "list", *arguments), message)
