"""`sluicegate dead export`: everything of each dead letter, whole or not at all."""

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from support.commands import CommandLine, assert_refused
from support.dead_letters import make_dead
from support.served_pool import apply_settings, make_settings
from support.stored import read_dead_letters

BODY = b'{"do": "fail", "big": 12345678901234567890.10, "text": "a\\u001b[2J\xe2\x80\xa8"}'


async def plant(client: Redis, dead_id: str) -> None:
    """A body that is no JSON, and a letter of which nothing else is kept."""
    await client.hset(f"sg:{{chat}}:request:{dead_id}", "body", b"\x1b[2J\nno JSON \xff")
    await client.xadd("sg:{chat}:dead", {"id": "ghost", "agent": "bob", "reason": "quota", "error": "\x1b[2J\n"})


def read_lines(text: str) -> list[dict[str, Any]]:
    assert "\x1b" not in text
    assert "\u2028" not in text
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.damages
async def test_lines_hold_everything_and_nothing_acts(sluicegate: CommandLine, client: Redis) -> None:
    ids = await make_dead(sluicegate.redis_url, 2, body=BODY)
    await plant(client, ids[0])
    ended = await sluicegate("dead", "export")
    assert (ended.code, ended.err) == (0, "")
    assert '"body":{"do":"fail","big":12345678901234567890.10,"text":"a' in ended.out
    ghost, newer, older = read_lines(ended.out)
    assert (ghost["id"], ghost["body"], ghost["path"], ghost["error"]) == ("ghost", None, None, "\x1b[2J\n")
    assert (newer["id"], newer["body"]["text"]) == (ids[1], "a\x1b[2J\u2028")
    assert (older["id"], older["body"]) == (ids[0], "\x1b[2J\nno JSON \ufffd")
    shown = (await sluicegate("dead", "show", ids[1], "--body", "--json")).document
    assert newer == shown
    assert ghost.keys() == shown.keys()


async def test_one_document_has_the_same_items(sluicegate: CommandLine, client: Redis) -> None:
    ids = await make_dead(sluicegate.redis_url, 25)
    lines = read_lines((await sluicegate("dead", "export")).out)
    document = (await sluicegate("dead", "export", "--json")).document
    assert document.keys() == {"schema", "items"}
    assert [{"schema": document["schema"], **item} for item in document["items"]] == lines
    assert [line["id"] for line in lines] == ids[::-1]


@pytest.mark.damages
async def test_filters_narrow_it_and_nothing_is_a_document_too(sluicegate: CommandLine, client: Redis) -> None:
    (one,) = await make_dead(sluicegate.redis_url)
    await plant(client, one)
    assert [line["id"] for line in read_lines((await sluicegate("dead", "export", "--reason", "quota")).out)] == [
        "ghost"
    ]
    assert [line["id"] for line in read_lines((await sluicegate("dead", "export", "--agent", "ann")).out)] == [one]
    nobody = await sluicegate("dead", "export", "--agent", "nobody")
    assert (nobody.code, nobody.out) == (0, "")
    told = (await sluicegate("dead", "export", "--agent", "nobody", "--json")).document
    assert told == {"schema": 1, "items": []}


@pytest.mark.damages
async def test_a_request_of_another_life_is_not_the_letters(sluicegate: CommandLine, client: Redis) -> None:
    (one,) = await make_dead(sluicegate.redis_url)
    (letter,) = await read_dead_letters(client)
    await sluicegate("dead", "replay", one)
    await client.xadd("sg:{chat}:dead", letter)  # type: ignore[arg-type]  # redis-py wants every type at once
    (line,) = read_lines((await sluicegate("dead", "export")).out)
    assert (line["id"], line["body"], line["lane"]) == (one, None, None)


@pytest.mark.damages
async def test_a_file_appears_whole_or_stays_as_it_was(sluicegate: CommandLine, client: Redis) -> None:
    ids = await make_dead(sluicegate.redis_url, 2)
    file = sluicegate.directory / "dead.jsonl"
    ended = await sluicegate("dead", "export", "--out", "dead.jsonl")
    assert (ended.code, ended.out, ended.err) == (0, "exported: 2\n", "")
    assert [line["id"] for line in read_lines(file.read_text())] == ids[::-1]
    assert file.stat().st_mode & 0o077 == 0
    told = await sluicegate("dead", "export", "--out", "dead.json", "--json")
    assert (told.code, told.out) == (0, "")
    assert len(json.loads((sluicegate.directory / "dead.json").read_text())["items"]) == 2
    before = file.read_bytes()
    await client.rename("sg:{chat}:dead", "elsewhere")
    await client.set("sg:{chat}:dead", "of the wrong type")
    assert_refused(await sluicegate("dead", "export", "--out", "dead.jsonl"), "WRONGTYPE", code=3)
    assert file.read_bytes() == before
    assert sorted(path.name for path in sluicegate.directory.iterdir()) == ["dead.json", "dead.jsonl"]


@pytest.mark.parametrize("place", ["nowhere/dead.jsonl", ".", "/dev/null"])
async def test_a_place_for_no_file_is_refused(place: str, sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    assert_refused(await sluicegate("dead", "export", "--out", place), f"--out {place} cannot be a file there")
