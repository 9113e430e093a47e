"""`sluicegate pool set`, `pool pause` and `pool resume`: an operator changes a pool while everything runs."""

from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from sluicegate.store import Store
from sluicegate_worker.registry import apply_policy
from sluicegate_worker.registry import read_policy as read_in_force
from sluicegate_worker.settings import policy_of
from sluicegate_worker.settings_file import load_settings
from support.commands import UNREACHABLE, CommandLine, assert_refused

FILE = """
[pools.chat]
max_backlog = 10
[[pools.chat.upstreams]]
name = "eu.1"
provider = "openai"
base_url = "https://example.org/v1"
api_key_env = "SECRET_KEY"
rpm = 600
[[pools.chat.upstreams]]
name = "b"
provider = "azure"
handler = "package.module:coroutine"
"""


@pytest.fixture
async def operator(sluicegate: CommandLine) -> CommandLine:
    """With the pool in force."""
    path = sluicegate.directory / "sluicegate.toml"
    path.write_text(FILE, encoding="utf-8")
    async with Store(sluicegate.redis_url) as store:
        await apply_policy(store, "chat", policy_of(load_settings(str(path), {}).pools["chat"]), "somebody@here")
    return sluicegate


async def read_policy(operator: CommandLine) -> dict[str, Any]:
    async with Store(operator.redis_url) as store:
        in_force = await read_in_force(store, "chat")
    assert in_force is not None
    policy: dict[str, Any] = msgspec.to_builtins(in_force[1])
    return policy


async def read_config(client: Redis) -> dict[str, str]:
    config: Any = await client.hgetall("sg:{chat}:config")
    return {name.decode(): value.decode() for name, value in config.items()}


async def read_audit(client: Redis) -> list[tuple[str, str]]:
    entries: Any = await client.xrange("sg:{chat}:audit")
    assert all(b"@" in fields[b"who"] for _, fields in entries)
    return [(fields[b"what"].decode(), fields.get(b"upstream", b"").decode()) for _, fields in entries]


async def test_set_changes_what_it_names_and_nothing_else(operator: CommandLine, client: Redis) -> None:
    before = await read_policy(operator)
    ended = await operator("pool", "set", "chat", "max_backlog=5000", "retry.base_s=1", "eu.1.rpm=60")
    assert (ended.code, ended.out, ended.err) == (0, "pool chat: version 2 now in force\n", "")
    policy = await read_policy(operator)
    assert (policy["max_backlog"], policy["retry"]["base_s"], policy["upstreams"][0]["rpm"]) == (5000, 1.0, 60.0)
    policy["max_backlog"], policy["retry"]["base_s"], policy["upstreams"][0]["rpm"] = 10, 0.5, 600.0
    assert policy == before
    assert (await read_config(client))["max_backlog"] == "5000"  # what the scripts read of it
    assert await read_audit(client) == [("apply", ""), ("apply", "")]


async def test_set_says_so_as_a_document_and_knows_what_was_so_already(operator: CommandLine) -> None:
    ended = await operator("pool", "set", "chat", "max_backlog=20", "--json")
    assert ended.document == {
        "schema": 1,
        "pools": [{"name": "chat", "settings_version": 2, "changed": True}],
    }
    again = await operator("pool", "set", "chat", "max_backlog=20")
    assert again.out == "pool chat: version 2 was in force already, nothing changed\n"


async def test_an_empty_value_and_a_new_apply_take_changes_back(operator: CommandLine) -> None:
    await operator("pool", "set", "chat", "max_backlog=", "eu.1.rpm=")
    policy = await read_policy(operator)
    assert (policy["max_backlog"], policy["upstreams"][0]["rpm"]) == (100_000, None)
    assert (await operator("pool", "apply")).out == "pool chat: version 3 now in force\n"
    assert (await read_policy(operator))["max_backlog"] == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chat", "max_backlok=5"), "pools.chat.max_backlok is not a setting; did you mean max_backlog?"),
        (("chat", "max_backlog=20", "us.rpm=1"), "there is no part or upstream us"),
        (("chat", "eu.1.base_url=https://evil.example"), "eu.1.base_url is not a setting"),
        (("chta", "max_backlog=20"), "there is no pool chta"),
        (("chat",), "'SETTING=VALUE"),
    ],
)
async def test_what_is_wrong_changes_nothing(
    operator: CommandLine, client: Redis, arguments: tuple[str, ...], message: str
) -> None:
    before = await read_config(client)
    assert_refused(await operator("pool", "set", *arguments), message)
    assert await read_config(client) == before


async def test_pause_and_resume_say_what_they_did(operator: CommandLine, client: Redis) -> None:
    said = [
        (await operator("pool", *words)).out
        for words in (
            ("pause", "chat"), ("pause", "chat"), ("resume", "chat"),
            ("pause", "chat", "--upstream", "eu.1"), ("resume", "chat", "--upstream", "eu.1"),
        )
    ]  # fmt: skip
    assert said == [
        "pool chat is paused\n", "pool chat is paused, as it was\n", "pool chat goes on\n",
        "upstream eu.1 of pool chat is paused\n",
        "upstream eu.1 of pool chat goes on\n",
    ]  # fmt: skip
    assert await read_audit(client) == [
        ("apply", ""), ("pause", ""), ("resume", ""), ("pause", "eu.1"), ("resume", "eu.1"),
    ]  # fmt: skip


async def test_what_is_still_paused_is_named(operator: CommandLine) -> None:
    await operator("pool", "pause", "chat")
    await operator("pool", "pause", "chat", "--upstream", "b")
    one = await operator("pool", "resume", "chat", "--upstream", "eu.1")
    assert one.out == (
        "upstream eu.1 of pool chat goes on, as it was\n"
        "pool chat is still paused: `sluicegate pool resume chat`\n"
        "upstream b of pool chat is still paused: `sluicegate pool resume chat --upstream b`\n"
    )
    all_of_it = await operator("pool", "resume", "chat")
    assert all_of_it.out.splitlines()[1:] == [
        "upstream b of pool chat is still paused: `sluicegate pool resume chat --upstream b`"
    ]


async def test_they_say_so_as_a_document(operator: CommandLine) -> None:
    paused = await operator("pool", "pause", "chat", "--upstream", "b", "--json")
    assert paused.document == {"schema": 1, "name": "chat", "upstream": "b", "paused": True, "changed": True}
    resumed = await operator("pool", "resume", "chat", "--json")
    assert resumed.document == {"schema": 1, "name": "chat", "upstream": None, "paused": False, "changed": False}


async def test_a_pause_outlives_changes_of_the_policy(operator: CommandLine, client: Redis) -> None:
    await operator("pool", "pause", "chat")
    await operator("pool", "pause", "chat", "--upstream", "b")
    await operator("pool", "set", "chat", "max_backlog=20")
    await operator("pool", "apply")
    config = await read_config(client)
    assert (config["held"], config["held:b"]) == ("1", "1")
    await operator("pool", "resume", "chat")
    assert "held" not in await read_config(client)


async def test_only_what_there_is_can_be_paused(operator: CommandLine, client: Redis) -> None:
    before = await read_config(client)
    assert_refused(await operator("pool", "pause", "chta"), "there is no pool chta")
    for verb in ("pause", "resume"):
        refused = await operator("pool", verb, "chat", "--upstream", "us")
        assert_refused(refused, "pool chat has no upstream us; `sluicegate pool show chat` lists them")
    assert_refused(await operator("pool", "resume"), "'POOL'")
    assert await read_config(client) == before


@pytest.mark.parametrize("words", [("set", "chat", "max_backlog=20"), ("pause", "chat")])
async def test_they_need_their_server(sluicegate: CommandLine, words: tuple[str, ...]) -> None:
    assert_refused(await sluicegate("pool", *words, "--redis-url", UNREACHABLE), "cannot reach Redis", code=3)
