"""The roles that `sluicegate doctor --acl` prints: each can do its work on a real server, and no other's."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from sluicegate import AsyncProducer, RequestDead, StoreUnavailable
from sluicegate.store import Store
from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.embedded import EmbeddedServer
from sluicegate_worker.demo.embedded_cluster import EmbeddedCluster
from sluicegate_worker.observe.snapshot import read_status
from sluicegate_worker.roles import describe_roles
from support.commands import CommandLine, assert_refused
from support.leaks import assert_at_rest
from support.scaling import AGENTS, ask, start_scaler
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.stored import send
from support.waiting import wait_until

ROLES = ("producer-chat", "dispatcher", "operator", "viewer")


class Guarded(NamedTuple):
    """A server that knows the roles; `url` is its administrator's."""

    url: str

    def url_of(self, role: str) -> str:
        user = f"sluicegate-{role}"
        return self.url.replace("//", f"//{user}:PASSWORD-OF-{user}@")


async def add_roles(url: str) -> None:
    async with Redis.from_url(url, protocol=2) as administrator:
        for role in describe_roles([POOL, "other"]):
            await send(administrator, *role.command.split())


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    with EmbeddedServer() as server:
        await add_roles(server.url)
        yield Guarded(server.url)


@pytest.fixture
async def served(guarded: Guarded) -> AsyncIterator[asyncio.Event]:
    async with serve(make_settings(guarded.url_of("dispatcher"))) as gate:
        yield gate


async def test_a_producer_and_a_dispatcher_do_their_work(guarded: Guarded) -> None:
    async with (
        serve(make_settings(guarded.url_of("dispatcher"))) as gate,
        AsyncProducer(guarded.url_of("producer-chat"), pool=POOL, agent="ann") as producer,
    ):
        replies = await asyncio.gather(*(producer.request(PATH, {}, agent=f"a{n}", key="k") for n in range(20)))
        assert {reply.status for reply in replies} == {200}
        assert (await producer.result(replies[0].id)) == replies[0]
        with pytest.raises(RequestDead):
            await producer.request(PATH, {"do": "fail"})
        assert [chunk async for chunk in producer.stream(PATH, {"do": "stream"})] != []
        assert (await producer.request(PATH, {}, not_before=0.05, priority="batch")).status == 200
        async with Store(guarded.url_of("dispatcher")) as store:  # as its metrics do
            [pool] = (await read_status(store, [POOL]))["pools"]
            assert pool["dead"] == len(await store.describe_servers()) == 1
        held = [await producer.submit(PATH, {"do": "hold"}), await producer.submit(PATH, {}, not_before=60)]
        assert [await ticket.cancel() for ticket in held] == ["cancelled", "cancelled"]
        gate.set()
    async with Redis.from_url(guarded.url, protocol=2) as administrator:
        await assert_at_rest(administrator, POOL)
        denied = [entry for entry in await send(administrator, "ACL", "LOG") if b"client|setinfo" not in entry]
        assert denied == []


async def test_a_producer_chooses_its_pool_by_model(guarded: Guarded, served: asyncio.Event) -> None:
    async with AsyncProducer(guarded.url_of("producer-chat"), agent="ann") as producer:
        assert (await producer.request(PATH, {"model": "small"})).status == 200


async def test_a_dispatcher_mends(guarded: Guarded) -> None:
    async with Redis.from_url(guarded.url, protocol=2) as administrator:
        await apply_settings(make_settings(guarded.url_of("dispatcher")))
        for name in ("due", "run", "sched"):
            await administrator.delete(f"sg:{{chat}}:{name}")
            await administrator.set(f"sg:{{chat}}:{name}", "planted")
        await mend_as_dispatcher(guarded)
        assert await administrator.exists("sg:{chat}:aside:due", "sg:{chat}:aside:run", "sg:{chat}:aside:sched") == 3


async def test_an_operator_reads_and_administrates(guarded: Guarded, served: asyncio.Event, tmp_path: Path) -> None:
    sluicegate = CommandLine(guarded.url_of("operator"), tmp_path)
    async with AsyncProducer(guarded.url_of("producer-chat"), pool=POOL, agent="ann") as producer:
        dead = await producer.submit(PATH, {"do": "fail"})
        with pytest.raises(RequestDead):
            await dead.reply()
        later = await producer.submit(PATH, {}, not_before=60)
        assert (await sluicegate("status", "--json")).document["pools"][0]["delayed"] == 1
        for command in (
            ["pool", "show"], ["pending", "list"], ["pending", "show", later.id], ["dead", "list"],
            ["dead", "show", dead.id], ["doctor", "--json"],
        ):  # fmt: skip
            ended = await sluicegate(*command)
            assert (ended.code, ended.err) == (0, ""), (command, ended)
        assert (await sluicegate("pending", "retry-now", later.id)).code == 0
        assert (await later.reply()).status == 200
        assert (await sluicegate("dead", "replay", dead.id, "--yes")).code == 0
        await wait_until(lambda: is_dead(sluicegate, dead.id), "it has died again")
        assert (await sluicegate("dead", "drop", dead.id, "--yes")).code == 0
        other = await producer.submit(PATH, {}, not_before=60)
        assert (await sluicegate("cancel", other.id)).out == "cancelled\n"
        assert (await sluicegate("result", later.id)).code == 0


async def is_dead(sluicegate: CommandLine, request_id: str) -> bool:
    return [i["id"] for i in (await sluicegate("dead", "list", "--json")).document["items"]] == [request_id]


async def test_a_viewer_reads_and_changes_nothing(guarded: Guarded, served: asyncio.Event, tmp_path: Path) -> None:
    sluicegate = CommandLine(guarded.url_of("viewer"), tmp_path)
    async with AsyncProducer(guarded.url_of("producer-chat"), pool=POOL, agent="ann") as producer:
        later = await producer.submit(PATH, {}, not_before=60)
        for command in (
            ["status"], ["pool", "show"], ["pending", "list"], ["pending", "show", later.id], ["dead", "list"],
            ["doctor"],
        ):  # fmt: skip
            ended = await sluicegate(*command)
            assert (ended.code, ended.err) == (0, ""), (command, ended)
        for command in (["cancel", later.id], ["pending", "retry-now", later.id]):
            assert_refused(await sluicegate(*command), "refuses these credentials", code=3)
        assert (await sluicegate("pending", "show", later.id, "--json")).document["state"] == "delayed"
        await later.cancel()


FORBIDDEN = [
    ("CONFIG", "GET", "maxmemory"), ("CONFIG", "SET", "maxmemory", "1"), ("FLUSHALL",), ("FLUSHDB",), ("ACL", "LIST"),
    ("ACL", "SETUSER", "me", "on"), ("KEYS", "*"), ("SCRIPT", "FLUSH"), ("SHUTDOWN",),
    ("MONITOR",), ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"), ("FUNCTION", "FLUSH"), ("SAVE",),
    ("REPLICAOF", "NO", "ONE"), ("PUBLISH", "x", "y"), ("SUBSCRIBE", "x"), ("GET", "elsewhere"),
    ("HGETALL", "sg:{secret}:config"), ("EVAL", "return redis.call('HGETALL', KEYS[1])", 1, "sg:{secret}:config"),
    ("XGROUP", "DESTROY", "sg:{chat}:run", "dispatchers"), ("RENAME", "sg:{chat}:run", "x"),
    ("EVAL", "return redis.call('FLUSHALL')", 1, "sg:{chat}:config"),
]  # fmt: skip
OF_PRODUCERS = [
    ("HGETALL", "sg:{other}:config"), ("HSET", "sg:{chat}:config", "price_us", "1"), ("DEL", "sg:{chat}:config"),
    ("HSET", "sg:pools", "chat", "[]"), ("HSET", "sg:{chat}:upstream:a", "last_slot_us", "0"),
    ("DEL", "sg:{chat}:run"), ("XADD", "sg:{chat}:dead", "*", "id", "x"), ("XTRIM", "sg:{chat}:audit", "MAXLEN", "0"),
    ("EVAL", "return redis.call('HSET', KEYS[1], 'price_us', 1)", 1, "sg:{chat}:config"),
    ("EVAL", "return redis.call('DEL', 'sg:{chat}:run')", 1, "sg:{chat}:config"),
    ("EVAL", "return redis.call('HGETALL', KEYS[1])", 1, "sg:{other}:config"),
    ("SCAN", "0"),
]  # fmt: skip
OF_VIEWERS = [
    ("DEL", "sg:{chat}:config"), ("HSET", "sg:{chat}:sched", "waiting", "0"), ("SET", "sg:{chat}:x", "y"),
    ("XADD", "sg:{chat}:dead", "*", "id", "x"), ("XTRIM", "sg:{chat}:dead", "MAXLEN", "0"),
    ("BLPOP", "sg:{chat}:wake", "1"),
    ("EVAL", "return redis.call('DEL', KEYS[1])", 1, "sg:{chat}:config"), ("HDEL", "sg:pools", "chat"),
    ("EVAL", "return redis.call('HSET', KEYS[1], 'a', 'b')", 1, "sg:{chat}:sched"),
]  # fmt: skip
CASES = [(role, command) for role in ROLES for command in FORBIDDEN]
CASES += [("producer-chat", command) for command in OF_PRODUCERS] + [("viewer", command) for command in OF_VIEWERS]


async def test_a_viewer_is_all_that_a_scaler_needs(guarded: Guarded, served: asyncio.Event, tmp_path: Path) -> None:
    with start_scaler(tmp_path, guarded.url_of("viewer")) as scaler:
        async with ask(scaler.address) as keda:
            await keda.comes_to("SERVING")
            assert await keda.wants(AGENTS) == 975
    async with Redis.from_url(guarded.url, protocol=2) as administrator:
        denied = [entry for entry in await send(administrator, "ACL", "LOG") if b"client|setinfo" not in entry]
        assert denied == []


async def test_no_role_does_more_than_its_work(guarded: Guarded) -> None:
    await apply_settings(make_settings(guarded.url))
    allowed = []
    for role, command in CASES:
        async with Redis.from_url(guarded.url_of(role), protocol=2) as client:
            try:
                await send(client, *command)
            except ResponseError as error:
                refused = "ACL failure in script" in str(error) or "The user executing the script" in str(error)
                if not isinstance(error, NoPermissionError) and not refused:
                    allowed.append((role, command, str(error)))
            else:
                allowed.append((role, command, ""))
    assert allowed == []


async def test_one_pools_producer_is_a_stranger_to_another(guarded: Guarded) -> None:
    await apply_settings(make_settings(guarded.url))
    async with AsyncProducer(guarded.url_of("producer-other"), pool=POOL, agent="ann") as producer:
        with pytest.raises(StoreUnavailable, match="refuses these credentials"):
            await producer.request(PATH, {})


async def test_the_roles_are_enough_on_a_cluster(cluster: EmbeddedCluster) -> None:
    for node in cluster.nodes:
        await add_roles(node.url)
    guarded = Guarded(cluster.url)
    async with (
        Dispatcher(make_settings(guarded.url_of("dispatcher"))),
        AsyncProducer(guarded.url_of("producer-chat"), pool=POOL, agent="ann") as producer,
    ):
        assert (await producer.request(PATH, {})).status == 200
        assert [chunk async for chunk in producer.stream(PATH, {"do": "stream"})] != []


async def mend_as_dispatcher(guarded: Guarded) -> None:
    from sluicegate.keys import PoolKeys
    from sluicegate.store import Store
    from sluicegate_worker.mending import mend

    async with Store(guarded.url_of("dispatcher")) as store:
        assert len(await mend(store, PoolKeys(POOL))) == 4
