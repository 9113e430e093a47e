"""replay: a dead letter begins anew in its agent's backlog, and is answered like any other request."""

from itertools import pairwise
from typing import Any

import pytest

from support.packed import parse_request
from support.scripts import SECOND_US, Bench, make_policy

HOUR_US = 3600 * SECOND_US


async def die(bench: Bench, agent: str = "ann", **order: Any) -> str:
    """A request that was retried once and is dead now."""
    [request_id] = await bench.submit(agent, **order)
    await bench.retry(*await bench.take(), delay_us=0, note=b'{"attempt":1}')
    bench.advance(1)
    assert await bench.bury(*await bench.take(), note=b'{"attempt":2}') == ["dead"]
    return request_id


async def read_request(bench: Bench, request_id: str) -> dict[str, str]:
    return parse_request(await bench.redis.hgetall(bench.keys.request(request_id)))


async def read_audit(bench: Bench) -> list[dict[str, str]]:
    return [fields for _, fields in await bench.redis.xrange(bench.keys.fixed("audit"))][1:]  # the first is `apply`'s


async def test_it_begins_anew_with_its_history(bench: Bench) -> None:
    request_id = await die(bench, body=b"123", deadline_us=7 * SECOND_US)
    await bench.redis.hset(bench.keys.request(request_id), mapping={"crashes": 2, "deaths": "1-1"})
    bench.advance(HOUR_US)
    await bench.redis.delete(bench.keys.fixed("wake"))
    assert await bench.replay(request_id) == ["replayed"]
    request = await read_request(bench, request_id)
    assert request["place"].startswith("backlog ")
    assert (request["attempts"], request["sends"]) == ("0", "0")
    assert not {"crashes", "deaths"} & request.keys()
    assert int(request["accepted_us"]) == bench.now_us
    assert int(request["deadline_us"]) == bench.now_us + 7 * SECOND_US
    assert request["history"] == '{"attempt":1},{"attempt":2}'
    assert await bench.redis.pttl(bench.keys.request(request_id)) == -1
    assert await bench.redis.zscore(bench.keys.fixed("expiry"), request_id) == bench.now_us + 7 * SECOND_US
    assert await bench.outcome(request_id) is None
    assert await bench.redis.exists(bench.keys.fixed("dead")) == 0
    assert (await bench.counter("waiting"), await bench.counter("bytes")) == (1, 3)
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1


async def test_its_answer_replaces_the_first_outcome_and_rings_again(bench: Bench) -> None:
    request_id = await die(bench)
    await bench.replay(request_id)
    [leased] = await bench.take()
    assert (leased.id, leased.attempts, leased.sends) == (request_id, 0, 1)
    assert await bench.settle(leased) == ["ok"]
    assert await bench.state(request_id) == "ok"
    assert [request_id in notice for notice in await bench.notices()] == [True, True]
    assert await bench.redis.exists(bench.keys.request(request_id)) == 0


async def test_it_goes_through_the_bucket(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=60))
    first = [await die_alone(bench) for _ in range(3)]
    begin = len(bench.slots)
    assert await bench.replay(*first) == ["replayed"] * 3
    for _ in range(3):
        bench.advance(SECOND_US)
        await bench.lease()
    slots = bench.slots[begin:]
    assert len(slots) == 3
    assert all(later - earlier >= SECOND_US for earlier, later in pairwise(slots))


async def die_alone(bench: Bench) -> str:
    [request_id] = await bench.submit()
    bench.advance(SECOND_US)
    await bench.bury(*await bench.take())
    return request_id


async def test_it_is_replayed_once_and_may_die_again(bench: Bench) -> None:
    request_id = await die(bench)
    assert await bench.replay(request_id, request_id) == ["replayed", "gone"]
    assert await bench.replay(request_id) == ["gone"]
    await bench.bury(*await bench.take())
    [letter] = await bench.dead_letters()
    assert (letter["id"], letter["attempts"]) == (request_id, "1")
    assert await bench.replay(request_id) == ["replayed"]
    assert await bench.counter("dead") == 2


async def test_what_is_not_dead_stays_as_it_is(bench: Bench) -> None:
    await bench.submit("ann", id="flying")
    await bench.take()
    await bench.submit("ann", id="answered")
    await bench.settle(*await bench.take())
    await bench.submit("ann", id="waiting")
    await bench.submit("ann", id="later", not_before_us=SECOND_US)
    ids = ["flying", "answered", "waiting", "later", "nobody"]
    before = [await bench.state(one) for one in ids]
    assert await bench.replay(*ids) == ["gone"] * 5
    assert [await bench.state(one) for one in ids] == before
    assert await read_audit(bench) == []


@pytest.mark.parametrize(
    "limits", [{"max_backlog": 1}, {"max_backlog_per_agent": 1}, {"max_backlog_bytes": 5}], ids=str
)
async def test_a_full_backlog_leaves_it_dead(limits: dict[str, int], bench: Bench) -> None:
    request_id = await die(bench, body=b"123")
    await bench.submit(body=b"456")
    await bench.apply(make_policy(**limits))
    before = await read_request(bench, request_id)
    assert await bench.replay(request_id) == ["full"]
    assert await read_request(bench, request_id) == before
    assert await bench.state(request_id) == "dead"
    assert len(await bench.dead_letters()) == 1
    await bench.apply()
    assert await bench.replay(request_id) == ["replayed"]


async def test_one_too_many_of_several_is_full(bench: Bench) -> None:
    ids = [await die(bench) for _ in range(3)]
    await bench.apply(make_policy(max_backlog_per_agent=2))
    assert await bench.replay(*ids) == ["replayed", "replayed", "full"]
    assert [letter["id"] for letter in await bench.dead_letters()] == ids[2:]


async def test_its_key_is_renewed_while_it_is_its_own(bench: Bench) -> None:
    await bench.apply(make_policy(reply_ttl_s=60, dead_ttl_s=7200))
    ids = [await die(bench, key=key, deadline_us=100 * SECOND_US) for key in ("mine", "taken")]
    await bench.redis.set(bench.keys.idempotency("ann", "taken"), "another", px=5000)
    await bench.replay(*ids)
    assert 150_000 < await bench.redis.pttl(bench.keys.idempotency("ann", "mine")) <= 160_000
    assert await bench.redis.get(bench.keys.idempotency("ann", "taken")) == "another"
    assert await bench.redis.pttl(bench.keys.idempotency("ann", "taken")) <= 5000


async def test_it_expires_by_its_fresh_deadline(bench: Bench) -> None:
    request_id = await die(bench, deadline_us=5 * SECOND_US)
    bench.advance(HOUR_US)
    await bench.replay(request_id)
    bench.advance(5 * SECOND_US)
    assert (await bench.lease()).expired == 1
    assert await bench.state(request_id) == "expired"


async def test_an_agent_gets_no_credit_for_what_comes_back(bench: Bench) -> None:
    ids = [await die(bench, "bob") for _ in range(3)]
    await bench.submit("ann", 3)
    await bench.replay(*ids)
    bench.advance(SECOND_US)
    agents = [leased.agent for leased in await bench.take(6)]
    assert [agents[:at].count("ann") for at in (2, 4, 6)] == [1, 2, 3]


async def test_each_call_is_written_down_once(bench: Bench) -> None:
    ids = [await die(bench) for _ in range(3)]
    await bench.replay(*ids[:2], "nobody")
    await bench.replay(ids[2])
    assert await read_audit(bench) == [
        {"who": "test", "what": "replay", "count": "2"},
        {"who": "test", "what": "replay", "count": "1"},
    ]
