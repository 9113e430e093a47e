"""`sluicegate pending list`: every state with its fields, filters, sorting, and pages that lose and repeat nothing."""

from typing import Any

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer
from sluicegate.wire import Priority
from support.commands import CommandLine, assert_refused
from support.served_pool import PATH, POOL, apply_settings, make_settings, serve
from support.waiting import wait_until

ITEM = {
    "id", "agent", "lane", "state", "path", "model", "tokens", "attempt", "enqueued_at", "deadline_at", "due_at",
    "dispatcher", "lease_left_s", "last_error",
}  # fmt: skip


async def list_ids(sluicegate: CommandLine, *arguments: str) -> list[str]:
    items = (await sluicegate("pending", "list", "--json", *arguments)).document["items"]
    return [item["id"] for item in items]


async def test_every_state_has_its_fields(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    async with (
        serve(make_settings(url, max_in_flight=1)) as gate,
        AsyncProducer(url, pool=POOL, agent="ann") as producer,
    ):
        limited = await producer.submit(PATH, {"do": "limit"})
        await wait_until(lambda: client.xlen("sg:{chat}:retry"), "it was refused")
        await client.hdel("sg:{chat}:upstream:a", "pause_until_us")
        held = await producer.submit(PATH, {"do": "hold", "model": "m"}, tokens=7, deadline=100)
        await wait_until(lambda: client.xlen("sg:{chat}:run"), "it is in flight")
        waiting = await producer.submit(f"/v1{PATH}", {}, agent="bob", priority="batch")
        document = (await sluicegate("pending", "list", "--json")).document
        table = (await sluicegate("pending", "list")).out
        await limited.cancel()
        gate.set()
    assert {"schema", "items", "next"} <= document.keys()
    assert (document["schema"], document["next"]) == (1, None)
    assert all(item.keys() == ITEM for item in document["items"])
    flying, delayed, last = document["items"]
    assert [flying["id"], delayed["id"], last["id"]] == [held.id, limited.id, waiting.id]
    assert (flying["state"], flying["lane"], flying["agent"], flying["attempt"]) == (
        "in_flight",
        "interactive",
        "ann",
        1,
    )
    assert (flying["model"], flying["tokens"], flying["path"]) == ("m", 7, PATH)
    assert round(flying["deadline_at"] - flying["enqueued_at"], 3) == 100
    assert flying["dispatcher"]
    assert "@" not in flying["dispatcher"]
    assert 0 <= flying["lease_left_s"] <= 10
    assert (flying["due_at"], flying["last_error"]) == (None, None)
    assert (delayed["state"], delayed["attempt"], delayed["last_error"]) == ("delayed", 1, "429 slow down")
    assert 0 < delayed["due_at"] - delayed["enqueued_at"] < 70
    assert (delayed["dispatcher"], delayed["lease_left_s"]) == (None, None)
    assert (last["state"], last["lane"], last["agent"], last["attempt"]) == ("waiting", "batch", "bob", 0)
    assert (last["model"], last["tokens"], last["due_at"]) == (None, 0, None)
    assert len(table.splitlines()) == 4
    assert all(request_id in table for request_id in (held.id, limited.id, waiting.id))


class Crowd:
    """Requests of five agents that nobody serves: 10 delayed, 150 waiting."""

    def __init__(self) -> None:
        self.delayed: list[str] = []
        self.by_agent: dict[str, list[str]] = {}
        self.batch: list[str] = []
        self.all: list[str] = []

    async def submit(self, url: str) -> None:
        async with AsyncProducer(url, pool=POOL) as producer:
            for number in range(160):
                agent, late = f"agent-{number % 5}", number % 16 == 0
                lane: Priority = "interactive" if number % 3 else "batch"
                not_before = 200 - number if late else None
                ticket = await producer.submit(PATH, {}, agent=agent, priority=lane, not_before=not_before)
                self.all.append(ticket.id)
                if late:
                    self.delayed.append(ticket.id)
                    continue
                self.by_agent.setdefault(agent, []).append(ticket.id)
                if lane == "batch":
                    self.batch.append(ticket.id)


@pytest.fixture
async def crowd(sluicegate: CommandLine) -> Crowd:
    await apply_settings(make_settings(sluicegate.redis_url))
    crowd = Crowd()
    await crowd.submit(sluicegate.redis_url)
    return crowd


@pytest.mark.parametrize("sort", [None, "age", "agent", "due"])
async def test_pages_lose_and_repeat_nothing(sort: str | None, sluicegate: CommandLine, crowd: Crowd) -> None:
    arguments = ["--limit", "37", *(["--sort", sort] if sort else [])]
    seen: list[dict[str, Any]] = []
    cursor: list[str] = []
    for page in range(5):
        document = (await sluicegate("pending", "list", "--json", *arguments, *cursor)).document
        seen += document["items"]
        assert (document["next"] is None) == (page == 4)
        cursor = ["--cursor", document["next"] or ""]
    ids = [item["id"] for item in seen]
    assert sorted(ids) == sorted(crowd.all)
    if sort == "age":
        assert ids == crowd.all
    elif sort == "agent":
        assert [(i["agent"], i["enqueued_at"]) for i in seen] == sorted((i["agent"], i["enqueued_at"]) for i in seen)
    elif sort == "due":
        assert ids[:10] == crowd.delayed[::-1]
        assert ids[10:] == [i for i in crowd.all if i not in crowd.delayed]
    else:
        assert ids[:10] == crowd.delayed
        assert [i["lane"] for i in seen[10:]] == ["interactive"] * (150 - len(crowd.batch)) + ["batch"] * len(
            crowd.batch
        )


async def test_filters_narrow_the_list(sluicegate: CommandLine, crowd: Crowd) -> None:
    everything = ["--limit", "1000"]
    assert await list_ids(sluicegate, *everything, "--state", "delayed") == crowd.delayed
    assert await list_ids(sluicegate, *everything, "--state", "in_flight") == []
    waiting = await list_ids(sluicegate, *everything, "--state", "waiting", "--agent", "agent-3")
    assert sorted(waiting) == sorted(crowd.by_agent["agent-3"])
    assert sorted(await list_ids(sluicegate, *everything, "--lane", "batch", "--state", "waiting")) == sorted(
        crowd.batch
    )
    assert await list_ids(sluicegate, *everything, "--agent", "nobody") == []
    assert len(await list_ids(sluicegate, *everything, "--older-than", "0")) == 160
    assert await list_ids(sluicegate, *everything, "--older-than", "3600") == []


async def test_a_page_that_ends_with_the_list_has_no_next(sluicegate: CommandLine, crowd: Crowd) -> None:
    for arguments in (["--limit", "160"], ["--limit", "160", "--sort", "age"]):
        document = (await sluicegate("pending", "list", "--json", *arguments)).document
        assert (len(document["items"]), document["next"]) == (160, None)
    assert "there are more: --cursor " in (await sluicegate("pending", "list")).out


@pytest.mark.damages
async def test_what_names_no_request_is_passed_over_and_nothing_acts(sluicegate: CommandLine, client: Redis) -> None:
    url = sluicegate.redis_url
    await apply_settings(make_settings(url))
    async with AsyncProducer(url, pool=POOL, agent="ann") as producer:
        ticket = await producer.submit(PATH, {})
    await client.xadd("sg:{chat}:backlog:interactive:ann", {"id": "nobody"})
    await client.xadd("sg:{chat}:backlog:interactive:ann", {"id": ticket.id})
    await client.xadd("sg:{chat}:run", {"x": "y"})
    await client.hset(f"sg:{{chat}}:request:{ticket.id}", "head", b'{"method":"POST","path":"\\u001b[2J[red]"}')
    assert await list_ids(sluicegate) == [ticket.id]
    out = (await sluicegate("pending", "list")).out
    assert r"\x1b[2J[red]" in out
    await client.hset(f"sg:{{chat}}:request:{ticket.id}", "head", b"nonsense")
    assert await list_ids(sluicegate) == [ticket.id]


async def test_an_empty_list_is_no_bad_news(sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    assert (await sluicegate("pending", "list")).out == "nothing is pending\n"
    for sort in ([], ["--sort", "age"]):
        document = (await sluicegate("pending", "list", "--json", *sort)).document
        assert (document["items"], document["next"]) == ([], None)


BAD = [
    (["--cursor", "nonsense"], "--cursor is not the `next`"),
    (["--cursor", "ä"], "--cursor is not the `next`"),
    (["--cursor", "WzEsMl0="], "--cursor is not the `next`"),
    (
        ["--sort", "age", "--cursor", "WyJ3YWl0aW5nIiwgImludGVyYWN0aXZlIiwgImEiLCAiMS0xIl0="],
        "--cursor is not the `next`",
    ),
    (["--cursor", "WyJ3YWl0aW5nIiwgImludGVyYWN0aXZlIiwgImEiLCAiKyJd"], "--cursor is not the `next`"),
    (["--sort", "size"], "--sort"),
    (["--state", "dead"], "--state"),
    (["--lane", "fast"], "--lane"),
    (["--limit", "0"], "--limit"),
    (["--older-than", "-1"], "--older-than"),
    (["--older-than", "nan"], "--older-than"),
    (["--agent", "a:b"], "agent must be 1 to 64"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
async def test_wrong_options_are_refused(arguments: list[str], message: str, sluicegate: CommandLine) -> None:
    await apply_settings(make_settings(sluicegate.redis_url))
    assert_refused(await sluicegate("pending", "list", *arguments), message)
