"""`sluicegate status`: every field of the document with what it says, the table, and the watch."""

import signal
from typing import Any

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer
from support.commands import CommandLine, assert_refused
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.waiting import wait_until

DOCUMENT = {"schema", "at", "pools"}
POOL_FIELDS = {
    "name", "paused", "settings_version", "waiting", "in_flight", "delayed", "dead", "oldest_waiting_s", "next_due_s",
    "backlog_s", "fairness_gap_s", "agents_waiting", "agents", "dead_by_reason", "dispatchers", "upstreams",
}  # fmt: skip
AGENT = {"agent", "lane", "weight", "waiting", "in_flight", "oldest_s", "eta_s", "served_cost_s"}
DISPATCHER = {"id", "alive", "in_flight", "oldest_s", "version"}
UPSTREAM = {
    "name", "provider", "limit", "paced", "actual", "factor", "pause_s", "pause_reason", "breaker", "breaker_reason",
    "in_flight", "calls_60s", "status_429_60s", "utilisation_60s", "left_24h",
}  # fmt: skip


async def test_the_document_tells_where_everything_is(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url, max_in_flight=2)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        assert (await sluicegate("send", POOL, PATH, '{"do": "fail"}')).code == 1
        for _ in range(2):
            await producer.submit(PATH, {"do": "hold"})
        await wait_until(lambda: client.xlen("sg:{chat}:run"), "something is in flight")
        for agent in ("ann", "bob", "bob", "bob"):
            await producer.submit(PATH, {}, agent=agent)
        await producer.submit(PATH, {}, agent="bob", priority="batch")
        await producer.submit(PATH, {}, not_before=60)

        async def both_in_flight() -> bool:
            return bool(await client.xlen("sg:{chat}:run") == 2)

        await wait_until(both_in_flight, "both are in flight")
        await client.zadd("sg:{chat}:served", {"bob": 2_500_000})
        document = (await sluicegate("status", "--json")).document
    assert document.keys() == DOCUMENT
    assert document["schema"] == 1
    now_s, _ = await client.time()
    assert 0 <= now_s + 1 - document["at"] < 120
    (pool,) = document["pools"]
    assert pool.keys() == POOL_FIELDS
    assert (pool["name"], pool["paused"], pool["settings_version"]) == (POOL, False, 1)
    assert [pool[place] for place in ("waiting", "in_flight", "delayed", "dead")] == [5, 2, 1, 1]
    assert pool["agents_waiting"] == 2
    assert pool["dead_by_reason"] == {"attempts": 1}
    assert 0 < pool["oldest_waiting_s"] < 60
    assert 0 < pool["next_due_s"] <= 60
    assert all(agent.keys() == AGENT for agent in pool["agents"])
    rows = [(a["agent"], a["lane"], a["waiting"], a["in_flight"], a["weight"]) for a in pool["agents"]]
    assert rows == [
        ("bob", "interactive", 3, 0, 1.0),
        ("ann", "interactive", 1, 2, 1.0),
        ("bob", "batch", 1, 0, 1.0),
    ]
    price_s = 60 / 5_850
    assert [round(a["eta_s"] / price_s, 2) for a in pool["agents"]] == [5, 2, 5]
    assert all(0 < a["oldest_s"] < 60 for a in pool["agents"])
    assert [a["served_cost_s"] for a in pool["agents"]] == [2.5, 0, 2.5]
    check_dispatcher(pool["dispatchers"])
    check_upstream(pool["upstreams"])


def check_dispatcher(dispatchers: list[dict[str, Any]]) -> None:
    (dispatcher,) = dispatchers
    assert dispatcher.keys() == DISPATCHER
    assert (dispatcher["alive"], dispatcher["in_flight"], "@" in dispatcher["id"]) == (True, 2, False)
    assert 0 < dispatcher["oldest_s"] < 60


def check_upstream(upstreams: list[dict[str, Any]]) -> None:
    (upstream,) = upstreams
    assert upstream.keys() == UPSTREAM
    assert (upstream["name"], upstream["provider"], upstream["in_flight"]) == ("a", "openai", 2)
    assert (upstream["limit"], upstream["paced"]) == ({"rpm": 6_000, "tpm": None}, {"rpm": 5_850, "tpm": None})
    assert (upstream["actual"]["rpm"] > 0, upstream["actual"]["tpm"]) == (True, 0)
    assert (upstream["factor"], upstream["breaker"], upstream["breaker_reason"]) == (1, "closed", None)
    assert (upstream["pause_s"], upstream["pause_reason"], upstream["status_429_60s"]) == (0, None, 0)
    assert upstream["calls_60s"] >= 3
    assert upstream["utilisation_60s"] == upstream["calls_60s"] / 6_000


async def test_a_pause_is_told_with_its_reason(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    async with serve(make_settings(url)), AsyncProducer(url, pool=POOL, agent="ann") as producer:
        ticket = await producer.submit(PATH, {"do": "limit"})
        await wait_until(lambda: client.xlen("sg:{chat}:retry"), "it was refused")
        (pool,) = (await sluicegate("status", POOL, "--json")).document["pools"]
        table = (await sluicegate("status")).out
        await ticket.cancel()
    (upstream,) = pool["upstreams"]
    assert 0 < upstream["pause_s"] <= 60
    assert (upstream["pause_reason"], upstream["status_429_60s"]) == ("rate", 1)
    assert "(rate)" in table


async def test_without_dispatchers_and_limits_nothing_is_made_up(sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url, rpm=None))
    (pool,) = (await sluicegate("status", "--json")).document["pools"]
    assert (pool["dispatchers"], pool["agents"], pool["dead_by_reason"]) == ([], [], {})
    assert (pool["oldest_waiting_s"], pool["next_due_s"]) == (None, None)
    (upstream,) = pool["upstreams"]
    assert upstream["limit"] == upstream["paced"] == {"rpm": None, "tpm": None}
    assert upstream["utilisation_60s"] is None
    assert "no dispatcher: start one" in (await sluicegate("status")).out


async def test_a_pool_that_lost_its_stream_still_has_a_status(sluicegate: CommandLine, client: Redis) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    await client.delete("sg:{chat}:run")
    assert (await sluicegate("status", "--json")).document["pools"][0]["dispatchers"] == []


async def test_agents_is_how_many_are_shown(sluicegate: CommandLine) -> None:
    url = sluicegate.redis_url
    await apply_settings(make_settings(url))
    async with AsyncProducer(url, pool=POOL) as producer:
        for number in range(25):
            await producer.submit(PATH, {}, agent=f"agent-{number}")
    for arguments, shown in (([], 20), (["--agents", "0"], 0), (["--agents", "1000"], 25)):
        (pool,) = (await sluicegate("status", "--json", *arguments)).document["pools"]
        assert (len(pool["agents"]), pool["agents_waiting"]) == (shown, 25)


@pytest.mark.damages
async def test_the_table_shows_what_strangers_wrote_as_text(sluicegate: CommandLine, client: Redis) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    stranger = "a[red]\x1b[2J\u202e"
    await client.zadd("sg:{chat}:ring:interactive", {stranger: 0})
    await client.xadd(f"sg:{{chat}}:backlog:interactive:{stranger}", {"id": "x"})
    await client.xadd("sg:{chat}:dead", {"id": "", "agent": "", "reason": "\x1b]0;x\x07"})
    out = (await sluicegate("status")).out
    assert r"a[red]\x1b[2J\u202e" in out
    assert all(char.isprintable() or char == "\n" for char in out)
    (pool,) = (await sluicegate("status", "--json")).document["pools"]
    assert pool["agents"][0]["agent"] == stranger


@pytest.mark.damages
async def test_watch_looks_again_until_interrupted(sluicegate: CommandLine, client: Redis) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    async with sluicegate.running("status", "--watch") as process:
        assert process.stdout is not None
        seen = b""
        while b"waiting 7 " not in seen:  # the test's own time ends this if it never comes
            line = await process.stdout.readline()
            assert line, "it ended by itself"
            seen += line
            if b"waiting 0 " in line:
                await client.hset("sg:{chat}:sched", "waiting", "7")
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")


async def test_wrong_options_are_refused(sluicegate: CommandLine) -> None:
    assert_refused(await sluicegate("status", "--watch", "--json"), "--json is one document")
    assert_refused(await sluicegate("status", "--agents", "-1"), "--agents")
    assert_refused(await sluicegate("status", "a", "b"), "unexpected extra argument")
