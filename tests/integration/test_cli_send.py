"""`sluicegate send`: where the body comes from, how the answer is shown, and each way it can end."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from support.commands import CommandLine, assert_refused
from support.served_pool import PATH, POOL, SHOUT, apply_settings, make_settings, serve
from support.waiting import wait_until

OUTCOME = {
    "schema", "id", "state", "agent", "attempts", "queued_s", "upstream_s", "upstream", "status", "headers", "usage",
    "reason", "error", "body",
}  # fmt: skip


async def test_the_answer_is_printed_wherever_the_body_came_from(sluicegate: CommandLine, tmp_path: Path) -> None:
    body = {"model": "x", "text": "größer\n", "number": 12345678901234567890123}
    written = json.dumps(body)
    (tmp_path / "body.json").write_text(written, encoding="utf-8")
    async with serve(make_settings(sluicegate.redis_url)):
        for arguments, stdin in (([written], ""), (["@body.json"], ""), ([], written)):
            ended = await sluicegate("send", POOL, f"/v1{PATH}", *arguments, stdin=stdin)
            assert (ended.code, ended.err) == (0, "")
            assert ended.out.count("\n") == 1
            assert ended.document == {"path": PATH, "echo": body}


async def test_json_is_the_whole_outcome(sluicegate: CommandLine) -> None:
    async with serve(make_settings(sluicegate.redis_url)):
        ended = await sluicegate("send", POOL, PATH, '{"model": "x"}', "--json")
        named = await sluicegate("send", POOL, PATH, "{}", "--json", "--agent", "bob", SLUICEGATE_AGENT="carl")
        from_environment = await sluicegate("send", POOL, PATH, "{}", "--json", SLUICEGATE_AGENT="carl")
    assert (ended.code, ended.err) == (0, "")
    document = ended.document
    assert document.keys() == OUTCOME
    assert (document["schema"], document["state"], document["status"]) == (1, "ok", 200)
    assert (document["agent"], document["upstream"], document["attempts"]) == ("cli", "a", 1)
    assert document["body"] == {"path": PATH, "echo": {"model": "x"}}
    assert (document["reason"], document["error"]) == (None, None)
    assert document["queued_s"] >= 0
    assert document["upstream_s"] >= 0
    assert (named.document["agent"], from_environment.document["agent"]) == ("bob", "carl")


async def test_a_method_without_a_body_reads_none(sluicegate: CommandLine) -> None:
    async with serve(make_settings(sluicegate.redis_url)):
        ended = await sluicegate("send", POOL, "/models", "--method", "get", stdin="not read")
        assert (ended.code, ended.document) == (0, {"path": "/models", "echo": None})


async def test_an_answer_that_is_not_json_is_shown_without_acting(sluicegate: CommandLine) -> None:
    async with serve(make_settings(sluicegate.redis_url)):
        ended = await sluicegate("send", POOL, PATH, '{"do": "shout"}')
        document = (await sluicegate("send", POOL, PATH, '{"do": "shout"}', "--json")).document
    assert (ended.code, ended.out) == (0, "loud\\x1b[2J\n[red]näive\n")
    assert document["body"] == SHOUT


@pytest.mark.parametrize(
    ("body", "options", "state", "message"),
    [
        ({"do": "refuse"}, [], "ok", "with status 404"),
        ({"do": "fail"}, [], "dead", "is dead (attempts) after 1 calls: 500"),
        ({"do": "hold"}, ["--deadline", "0.2"], "expired", "was not answered before its deadline"),
    ],
)
async def test_bad_news_is_exit_1(
    body: Any, options: list[str], state: str, message: str, sluicegate: CommandLine
) -> None:
    async with serve(make_settings(sluicegate.redis_url)):
        ended = await sluicegate("send", POOL, PATH, json.dumps(body), *options)
        told = await sluicegate("send", POOL, PATH, json.dumps(body), *options, "--json")
    assert (ended.code, told.code) == (1, 1)
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert ended.out == ("" if state != "ok" else '{"error":{"message":"no such model"}}\n')
    assert told.document.keys() == OUTCOME
    assert told.document["state"] == state
    if state == "dead":
        assert (told.document["reason"], told.document["status"]) == ("attempts", 500)


async def test_the_same_key_is_the_same_request(sluicegate: CommandLine) -> None:
    async with serve(make_settings(sluicegate.redis_url)):
        first, again = [await sluicegate("send", POOL, PATH, "{}", "--key", "k 1", "--json") for _ in range(2)]
        other = await sluicegate("send", POOL, PATH, '{"n": 2}', "--key", "k 1")
    assert first.document["id"] == again.document["id"]
    assert_refused(other, "key 'k 1' was used before with another method, path or body")


async def test_ctrl_c_cancels_the_request(sluicegate: CommandLine, client: Redis) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    async with sluicegate.running("send", POOL, PATH, "{}", "--priority", "batch") as process:
        await wait_until(lambda: client.exists("sg:{chat}:backlog:batch:cli"), "it waits")
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")
    assert await client.hget("sg:{chat}:sched", "cancelled") == b"1"
    assert not await client.exists("sg:{chat}:backlog:batch:cli")


BAD = [
    (["no pool", PATH, "{}"], "pool must be 1 to 64"),
    ([POOL, "/nowhere", "{}"], "POST /nowhere is not a path that openai answers"),
    ([POOL, "/../x", "{}"], "is not a path"),
    ([POOL, PATH, "{nonsense"], "the body is not JSON"),
    ([POOL, PATH, ""], "the body is empty"),
    ([POOL, PATH], "the body is empty"),
    ([POOL, PATH, "@missing.json"], "'missing.json' cannot be read: No such file"),
    ([POOL, PATH, "@."], "cannot be read: Is a directory"),
    ([POOL, PATH, '{"text": "' + "x" * 2_000 + '"}'], "the pool takes at most 1024"),
    ([POOL, PATH, "{}", "--agent", "a b"], "agent must be 1 to 64"),
    ([POOL, PATH, "{}", "--deadline", "0"], "--deadline"),
    ([POOL, PATH, "{}", "--deadline", "-1"], "--deadline"),
    ([POOL, PATH, "{}", "--deadline", "nan"], "--deadline"),
    ([POOL, PATH, "{}", "--priority", "urgent"], "--priority"),
    ([POOL, PATH, "{}", "--method", "BREW"], "--method"),
    ([POOL, PATH, "{}", "--key", ""], "key must be 1 to 256"),
    ([POOL, PATH, "{}", "more"], "unexpected extra argument"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message for _, message in BAD])
async def test_a_wrong_request_is_refused(
    arguments: list[str], message: str, sluicegate: CommandLine, client: Redis
) -> None:
    await apply_settings(make_settings(sluicegate.redis_url, max_request_bytes=1_024))
    assert_refused(await sluicegate("send", *arguments), message)
    assert await client.hget("sg:{chat}:sched", "waiting") is None


async def test_a_full_backlog_is_bad_news(sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url, rpm=1))
    ended = await sluicegate("send", POOL, PATH, "{}", "--deadline", "1")
    assert_refused(ended, "which is after its deadline", code=1)


async def test_a_missing_pool_is_waited_for_and_then_named(sluicegate: CommandLine) -> None:
    ended = await sluicegate("send", POOL, PATH, "{}")
    assert_refused(ended, "there is no pool 'chat'")
    assert "sluicegate pool apply" in ended.err
