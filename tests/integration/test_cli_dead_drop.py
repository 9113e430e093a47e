"""`sluicegate dead drop`: dead letters go for good; all of them only after a yes."""

import asyncio
import os
import sys

import pytest
from redis.asyncio import Redis

from support.commands import CommandLine
from support.dead_letters import list_states, make_dead
from support.leaks import assert_at_rest
from support.served_pool import POOL
from support.stored import read_dead_letters


async def test_letters_go_with_their_requests_and_replies_stay(sluicegate: CommandLine, client: Redis) -> None:
    ids = await make_dead(sluicegate.redis_url, 3)
    ended = await sluicegate("dead", "drop", ids[1], "nobody")
    assert (ended.code, ended.out) == (1, "dropped: 1\n")
    assert "request nobody is not dead" in ended.err
    assert await list_states(client, ids) == ["dead", "none", "dead"]
    assert (await sluicegate("result", ids[1], "--json")).document["state"] == "dead"
    told = await sluicegate("dead", "drop", "--all", "--yes", "--json")
    assert (told.code, told.err) == (0, "")
    assert told.document == {
        "schema": 1,
        "dry_run": False,
        "counts": {"dropped": 2, "gone": 0},
        "items": [{"id": ids[0], "result": "dropped"}, {"id": ids[2], "result": "dropped"}],
    }
    assert (await sluicegate("dead", "list")).out == "no dead letters\n"
    assert await client.exists("sg:{chat}:dead") == 0
    await assert_at_rest(client, POOL)


async def test_a_dry_run_changes_nothing(sluicegate: CommandLine, client: Redis) -> None:
    ids = await make_dead(sluicegate.redis_url, 2)
    before = await read_dead_letters(client)
    assert (await sluicegate("dead", "drop", "--all", "--dry-run", "--agent", "ann")).out == "would be dropped: 2\n"
    assert (await sluicegate("dead", "drop", ids[0], "--dry-run")).out == "would be dropped: 1\n"
    assert await read_dead_letters(client) == before
    assert await list_states(client, ids) == ["dead", "dead"]


async def test_what_cannot_be_read_goes_too(sluicegate: CommandLine, client: Redis) -> None:
    ids = await make_dead(sluicegate.redis_url, 2)
    await client.delete(f"sg:{{chat}}:request:{ids[0]}")
    assert (await sluicegate("dead", "drop", ids[0])).out == "dropped: 1\n"
    await client.xadd("sg:{chat}:dead", {"id": "", "reason": "undecodable"})
    await client.xadd("sg:{chat}:dead", {"x": b"\xff"}, id="18446744073709551614-1")
    assert (await sluicegate("dead", "drop", "--all", "--yes", "--reason", "undecodable")).out == "dropped: 1\n"
    assert (await sluicegate("dead", "drop", "--all", "--yes")).out == "dropped: 2\n"
    assert await client.exists("sg:{chat}:dead") == 0


@pytest.mark.parametrize(("word", "left"), [("y", 0), ("n", 2)])
async def test_a_terminal_is_asked_first(word: str, left: int, sluicegate: CommandLine, client: Redis) -> None:
    await make_dead(sluicegate.redis_url, 2)
    ours, theirs = os.openpty()
    try:
        os.write(ours, f"{word}\n".encode())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sluicegate_worker", "dead", "drop", "--all", "--redis-url", sluicegate.redis_url),
            cwd=sluicegate.directory,
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 50)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"drop all 2 of these dead letters of pool chat?" in err
    assert await client.xlen("sg:{chat}:dead") == left
    if left:
        assert (process.returncode, out) == (1, b"")
        assert err.endswith(b"sluicegate: nothing was changed\n")
    else:
        assert (process.returncode, out) == (0, b"dropped: 2\n")
