"""What all commands that ask the store have in common: no server, no pool, a wrong name, and a real cluster."""

from pathlib import Path

import pytest

from sluicegate import AsyncProducer
from sluicegate_worker.demo.embedded_cluster import EmbeddedCluster
from support.commands import UNREACHABLE, CommandLine, assert_refused
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.waiting import wait_until

ASKING = [
    ["status"],
    ["status", "--watch"],
    ["status", "chat"],
    ["send", "chat", PATH, "{}"],
    ["pool", "show"],
    ["pending", "list"],
    ["pending", "show", "some-id"],
    ["pending", "retry-now", "some-id"],
    ["dead", "list"],
    ["dead", "show", "some-id"],
    ["dead", "replay", "some-id"],
    ["dead", "drop", "--all", "--yes"],
    ["dead", "export"],
    ["result", "some-id"],
    ["cancel", "some-id"],
    ["cancel", "--agent", "ann", "--all"],
]
OF_A_POOL = [
    ["status", "{}"],
    ["pool", "show", "{}"],
    ["pending", "list", "--pool", "{}"],
    ["pending", "show", "some-id", "--pool", "{}"],
    ["pending", "retry-now", "--all", "--pool", "{}"],
    ["dead", "list", "--pool", "{}"],
    ["dead", "show", "some-id", "--pool", "{}"],
    ["dead", "replay", "some-id", "--pool", "{}"],
    ["dead", "drop", "--all", "--yes", "--pool", "{}"],
    ["dead", "export", "--pool", "{}"],
    ["result", "some-id", "--pool", "{}"],
    ["cancel", "some-id", "--pool", "{}"],
    ["cancel", "--agent", "ann", "--all", "--pool", "{}"],
]


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
async def test_an_unreachable_server_is_exit_3(arguments: list[str], tmp_path: Path) -> None:
    ended = await CommandLine(UNREACHABLE, tmp_path)(*arguments)
    assert_refused(ended, "cannot reach Redis at redis://127.0.0.1:1/0", code=3)


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
async def test_an_unusable_url_is_exit_2(arguments: list[str], tmp_path: Path) -> None:
    assert_refused(await CommandLine("nonsense", tmp_path)(*arguments), "the Redis URL")


@pytest.mark.parametrize("arguments", OF_A_POOL, ids=" ".join)
async def test_a_missing_pool_names_the_cure(arguments: list[str], sluicegate: CommandLine) -> None:
    ended = await sluicegate(*(argument.format("nope") for argument in arguments))
    assert_refused(ended, "there is no pool nope at redis://")
    assert "sluicegate pool apply" in ended.err


@pytest.mark.parametrize("arguments", OF_A_POOL, ids=" ".join)
async def test_a_wrong_pool_name_is_refused(arguments: list[str], sluicegate: CommandLine) -> None:
    ended = await sluicegate(*(argument.format("no}\x1b[2J") for argument in arguments))
    assert_refused(ended, "pool must be 1 to 64 of the characters")


@pytest.mark.parametrize("command", [["status"], ["pool", "show"], ["pending", "list"], ["dead", "list"]], ids=" ".join)
async def test_no_pool_at_all_names_the_cure(command: list[str], sluicegate: CommandLine) -> None:
    ended = await sluicegate(*command)
    assert_refused(ended, "there is no pool at redis://")
    assert "sluicegate pool apply" in ended.err


@pytest.mark.parametrize("command", ["pending", "dead"])
async def test_of_several_pools_one_must_be_named(command: str, sluicegate: CommandLine) -> None:
    chat = make_settings(sluicegate.redis_url).pools[POOL]
    settings = make_settings(sluicegate.redis_url)
    settings.pools["code"] = chat
    await apply_settings(settings)
    assert_refused(await sluicegate(command, "list"), "name one of the pools")
    assert (await sluicegate(command, "list", SLUICEGATE_POOL="code")).code == 0
    assert (await sluicegate(command, "list", "--pool", "chat", SLUICEGATE_POOL="nope")).code == 0
    assert_refused(await sluicegate(command, "list", SLUICEGATE_POOL="nope"), "there is no pool nope")


async def test_every_command_works_on_a_cluster(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    sluicegate = CommandLine(cluster.url, tmp_path)
    settings = make_settings(cluster.url)
    async with serve(settings) as gate, AsyncProducer(cluster.url, pool=POOL, agent="ann") as producer:
        sent = await sluicegate("send", POOL, PATH, '{"do": "fail"}', "--json")
        assert (sent.code, sent.document["state"]) == (1, "dead")
        held = await producer.submit(PATH, {"do": "hold"})
        later = await producer.submit(PATH, {}, not_before=60)

        async def in_flight() -> int:
            count: int = (await sluicegate("status", "--json")).document["pools"][0]["in_flight"]
            return count

        await wait_until(in_flight, "one is in flight")
        (pool,) = (await sluicegate("status", "--json")).document["pools"]
        assert (pool["delayed"], pool["dead"]) == (1, 1)
        assert [i["id"] for i in (await sluicegate("pending", "list", "--json")).document["items"]] == [
            held.id,
            later.id,
        ]
        assert [i["id"] for i in (await sluicegate("dead", "list", "--json")).document["items"]] == [
            sent.document["id"]
        ]
        assert (await sluicegate("cancel", later.id)).out == "cancelled\n"
        assert (await sluicegate("dead", "export", "--json")).document["items"][0]["body"] == {"do": "fail"}
        assert (await sluicegate("dead", "drop", sent.document["id"])).out == "dropped: 1\n"
        gate.set()
        await held.reply()
        assert (await sluicegate("result", held.id)).code == 0
        assert (await sluicegate("pool", "show", "--json")).document["pools"][0]["name"] == POOL
