"""`sluicegate doctor`: what is well, what is not, and what to do about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestDead
from sluicegate_worker.demo.embedded import EmbeddedServer
from sluicegate_worker.demo.embedded_cluster import EmbeddedCluster
from support.commands import UNREACHABLE, CommandLine, Ended, assert_refused
from support.processes import write_settings
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.stored import read_all, send

HANDLER = "support.served_pool:obey"


@pytest.fixture
def server_with_file() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def sluicegate(server_with_file: EmbeddedServer, tmp_path: Path) -> CommandLine:
    return CommandLine(server_with_file.url, tmp_path)


async def examine(sluicegate: CommandLine, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the checks by name; says that the document is what it must be."""
    ended = await sluicegate("doctor", "--json", *arguments)
    assert ended.err == ""
    document = ended.document
    assert document.keys() == {"schema", "ok", "checks"}
    assert document["schema"] == 1
    assert all(check.keys() == {"name", "ok", "detail", "cure"} for check in document["checks"])
    assert all(check["ok"] == (check["cure"] == "") for check in document["checks"])
    assert document["ok"] == all(check["ok"] for check in document["checks"])
    assert ended.code == (0 if document["ok"] else 1)
    checks = {check["name"]: check for check in document["checks"]}
    assert len(checks) == len(document["checks"])
    return ended.code, checks


def find_problems(checks: dict[str, Any]) -> set[str]:
    return {name for name, check in checks.items() if not check["ok"]}


async def test_a_served_pool_is_well(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        with pytest.raises(RequestDead):
            await producer.request(PATH, {"do": "fail"})
        code, checks = await examine(sluicegate)
        shown = await sluicegate("doctor")
    assert (code, find_problems(checks)) == (0, set())
    assert {"settings", "version", "role", "eviction", "memory", "append-only file", "snapshots", "clock"} <= set(
        checks
    )
    assert checks["scripts"]["detail"] == "they run"
    assert checks["pool chat: dead letters"]["detail"] == "1"
    assert checks["pool chat: dispatchers"]["detail"] == "1 alive"
    assert (shown.code, shown.out.count("PROBLEM"), shown.err) == (0, 0, "")
    assert "ok       pool chat: policy: version 1\n" in shown.out


async def test_an_empty_server_is_well(sluicegate: CommandLine) -> None:
    assert (await examine(sluicegate))[0] == 0


async def test_a_pool_that_nobody_serves_is_not_well(sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    _, checks = await examine(sluicegate)
    assert find_problems(checks) == {"pool chat: dispatchers"}
    shown = await sluicegate("doctor")
    assert shown.code == 1
    assert "PROBLEM  pool chat: dispatchers: 0 alive\n         → start one with `sluicegate dispatch`\n" in shown.out


async def test_an_evicting_server_without_a_file_is_told_of(tmp_path: Path) -> None:
    with EmbeddedServer("--appendonly", "no", "--maxmemory", "1mb", "--maxmemory-policy", "allkeys-lru") as server:
        code, checks = await examine(CommandLine(server.url, tmp_path))
    assert code == 1
    assert find_problems(checks) == {"eviction", "memory", "append-only file"}
    assert checks["eviction"]["cure"] == "set maxmemory-policy noeviction"


async def test_settings_are_compared_with_what_is_in_force(sluicegate: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "sluicegate.toml"
    file.write_text(write_settings(sluicegate.redis_url, HANDLER, "rpm = 600"))
    _, checks = await examine(sluicegate)
    assert find_problems(checks) == {"pool chat: policy"}
    assert (await sluicegate("pool", "apply")).code == 0
    _, checks = await examine(sluicegate)
    assert find_problems(checks) == {"pool chat: dispatchers"}
    assert checks["pool chat: policy"]["detail"] == "version 1, as in the settings file"
    file.write_text(write_settings(sluicegate.redis_url, HANDLER, "rpm = 601"))
    _, checks = await examine(sluicegate)
    assert "differs from the settings file" in checks["pool chat: policy"]["detail"]


async def test_a_wrong_file_and_a_missing_key_are_told_of(sluicegate: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(write_settings(sluicegate.redis_url, HANDLER, "rpm = -1"))
    _, checks = await examine(sluicegate, "--config", str(file))
    assert find_problems(checks) == {"settings"}
    assert "rpm" in checks["settings"]["detail"]
    file.write_text(write_settings(sluicegate.redis_url, HANDLER, 'api_key_env = "NOT_THERE"'))
    _, checks = await examine(sluicegate, "--config", str(file))
    assert not checks["api key chat/a"]["ok"]
    assert "NOT_THERE" in checks["api key chat/a"]["detail"]


DAMAGE = [
    ("keys", ("SET", "sg:{chat}:due", "x"), "due is a string instead of a zset"),
    ("keys", ("SADD", "sg:{chat}:request:one", "x"), "request:one is a set instead of a hash"),
    ("counters", ("HSET", "sg:{chat}:sched", "waiting", "\x1b[2Jx"), "sched has 'waiting' = '\\x1b[2Jx'"),
    ("counters", ("HSET", "sg:{chat}:upstream:a", "in_flight", "-1"), "upstream:a has 'in_flight' = '-1'"),
    ("consumer group", ("XGROUP", "DESTROY", "sg:{chat}:run", "dispatchers"), "missing"),
    ("consumer group", ("DEL", "sg:{chat}:run"), "missing"),
    ("policy", ("HSET", "sg:{chat}:config", "price_us", "x"), "the scripts cannot read price_us"),
    ("policy", ("HSET", "sg:{chat}:config", "policy", "x"), "what is stored is no policy"),
    ("policy", ("DEL", "sg:{chat}:config"), "there is none"),
    ("policy", ("SET", "sg:{chat}:config", "x"), "its key is of the wrong type"),
]


@pytest.mark.parametrize(("name", "command", "detail"), DAMAGE)
async def test_foreign_hands_are_found_and_nothing_is_changed(
    sluicegate: CommandLine, name: str, command: tuple[str, ...], detail: str
) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    async with Redis.from_url(sluicegate.redis_url, protocol=2) as client:
        await send(client, *command)
        before = await read_all(client)
        code, checks = await examine(sluicegate)
        assert await read_all(client) == before
    assert code == 1
    assert detail in checks[f"pool chat: {name}"]["detail"]
    assert checks[f"pool chat: {name}"]["cure"]
    assert "\x1b" not in (await sluicegate("doctor")).out


async def test_what_was_put_aside_is_information(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), Redis.from_url(url) as client:
        await client.set("sg:{chat}:aside:due", "x", ex=60)
        code, checks = await examine(sluicegate)
    assert code == 0
    assert "aside:due" in checks["pool chat: foreign keys"]["detail"]


async def test_a_damaged_list_of_pools_is_told_of(sluicegate: CommandLine) -> None:
    async with Redis.from_url(sluicegate.redis_url) as client:
        await client.set("sg:pools", "x")
    _, checks = await examine(sluicegate)
    assert find_problems(checks) == {"pools"}


async def test_a_cluster_is_told_of_node_by_node(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    await apply_settings(make_settings(cluster.url))
    _, checks = await examine(CommandLine(cluster.url, tmp_path))
    assert len([name for name in checks if name.startswith("version ")]) == 3
    assert {name.partition(" 127")[0] for name in find_problems(checks)} == {
        "append-only file",
        "pool chat: dispatchers",
    }


async def test_an_unreachable_server_is_exit_3(tmp_path: Path) -> None:
    assert_refused(await CommandLine(UNREACHABLE, tmp_path)("doctor"), "cannot reach Redis at", code=3)


async def test_roles_are_printed_for_the_pools_of_the_file(tmp_path: Path) -> None:
    sluicegate = CommandLine(UNREACHABLE, tmp_path)
    (tmp_path / "sluicegate.toml").write_text(write_settings(UNREACHABLE, HANDLER))
    ended: Ended = await sluicegate("doctor", "--acl")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    users = ["producer-chat", "dispatcher", "operator", "viewer"]
    assert [line.split()[:3] for line in lines] == [["ACL", "SETUSER", f"sluicegate-{user}"] for user in users]
    assert all("~sg:{chat}:" in line and " -@all " in line for line in lines)


async def test_roles_are_in_the_document(sluicegate: CommandLine) -> None:
    assert_refused(await sluicegate("doctor", "--acl"), "there is no pool at")
    async with serve(make_settings(sluicegate.redis_url)):
        document = (await sluicegate("doctor", "--acl", "--json")).document
    assert document["ok"]
    roles = ["producer", "dispatcher", "operator", "viewer"]
    assert [(role["role"], role["pools"]) for role in document["acl"]] == [(role, ["chat"]) for role in roles]
    assert all(role["command"].startswith("ACL SETUSER sluicegate-") for role in document["acl"])
