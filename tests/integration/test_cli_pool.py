"""`sluicegate pool apply` and `pool show`: a file comes into force, all of it or nothing, and can be read back."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.settings import policy_of
from sluicegate_worker.settings_file import load_settings
from support.commands import UNREACHABLE, CommandLine, assert_refused

FILE = """
[pools.chat]
models = ["gpt-*", 'o"1']
weights = {{ "planner-*" = 4 }}
deadline_s = {deadline_s}
[[pools.chat.upstreams]]
name = "eu.1"
provider = "openai"
base_url = "https://example.org/v1"
api_key_env = "SECRET_KEY"
rpm = 600
tpm = 1_000
[pools."code.v2"]
[[pools."code.v2".upstreams]]
name = "b"
provider = "anthropic"
handler = "package.module:coroutine"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sluicegate.toml"
    write(path, FILE.format(deadline_s=60))
    return path


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


async def test_apply_says_what_changed(sluicegate: CommandLine, file: Path) -> None:
    ended = await sluicegate("pool", "apply")
    assert (ended.code, ended.out) == (0, "pool chat: version 1 now in force\npool code.v2: version 1 now in force\n")
    assert ended.err == ""
    again = await sluicegate("pool", "apply", "--json")
    assert again.document == {
        "schema": 1,
        "pools": [
            {"name": "chat", "settings_version": 1, "changed": False},
            {"name": "code.v2", "settings_version": 1, "changed": False},
        ],
    }
    write(file, FILE.format(deadline_s=61))
    changed = (await sluicegate("pool", "apply", "--json")).document["pools"]
    assert [(pool["settings_version"], pool["changed"]) for pool in changed] == [(2, True), (1, False)]
    assert "version 2 was in force already, nothing changed" in (await sluicegate("pool", "apply")).out


async def test_apply_repairs_what_cannot_be_read(sluicegate: CommandLine, file: Path, client: Redis) -> None:
    await sluicegate("pool", "apply")
    await client.hset("sg:{chat}:config", "policy", "nonsense")
    shown = await sluicegate("pool", "show")
    assert_refused(shown, "the policy of pool chat cannot be read", code=3)
    assert (await sluicegate("pool", "apply")).code == 0
    assert (await sluicegate("pool", "show")).code == 0


async def test_apply_writes_down_who_did_it_and_no_secret(sluicegate: CommandLine, file: Path, client: Redis) -> None:
    await sluicegate("pool", "apply")
    entries: Any = await client.xrange("sg:{chat}:audit")
    assert len(entries) == 1
    entry: dict[bytes, bytes] = entries[0][1]
    config: Any = await client.hgetall("sg:{chat}:config")
    assert entry[b"what"] == b"apply"
    assert b"@" in entry[b"who"]
    stored = b" ".join([*config.values(), *entry.values()])
    assert b"example.org" not in stored
    assert b"SECRET_KEY" not in stored


async def test_show_gives_the_settings_back(sluicegate: CommandLine, file: Path) -> None:
    await sluicegate("pool", "apply")
    settings = load_settings(str(file), {})
    document = (await sluicegate("pool", "show", "--json")).document
    assert document.keys() == {"schema", "pools"}
    assert all(pool.keys() == {"name", "settings_version", "policy"} for pool in document["pools"])
    shown = {pool["name"]: msgspec.convert(pool["policy"], Policy) for pool in document["pools"]}
    assert shown == {name: policy_of(pool) for name, pool in settings.pools.items()}
    written = tomllib.loads((await sluicegate("pool", "show")).out)["pools"]
    assert {name: msgspec.convert(pool, Policy) for name, pool in written.items()} == shown
    one = (await sluicegate("pool", "show", "code.v2")).out
    assert list(tomllib.loads(one)["pools"]) == ["code.v2"]


async def test_a_wrong_file_changes_nothing(sluicegate: CommandLine, file: Path, client: Redis) -> None:
    for text, message in (
        ("[pools.chat", "is not valid TOML"),
        (FILE.format(deadline_s='"soon"'), "pools.chat.deadline_s"),
        (FILE.format(deadline_s=60) + "colour = 1\n", "colour"),
    ):
        write(file, text)
        assert_refused(await sluicegate("pool", "apply"), message)
    assert_refused(await sluicegate("pool", "apply", "--config", "gone.toml"), "gone.toml cannot be read")
    assert await client.dbsize() == 0


async def test_without_a_file_it_asks_for_one(sluicegate: CommandLine) -> None:
    assert_refused(await sluicegate("pool", "apply"), "there is no sluicegate.toml here")


async def test_apply_needs_its_server(sluicegate: CommandLine, file: Path) -> None:
    ended = await sluicegate("pool", "apply", "--redis-url", UNREACHABLE)
    assert_refused(ended, "cannot reach Redis", code=3)


async def test_pool_alone_or_with_another_word_is_wrong(sluicegate: CommandLine) -> None:
    assert (await sluicegate("pool")).code == 2
    assert_refused(await sluicegate("pool", "destroy"), "there is no command 'destroy'; the commands are ")
