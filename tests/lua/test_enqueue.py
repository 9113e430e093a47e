"""enqueue: accepts a request once, or says why not."""

import pytest

from sluicegate.errors import StoreUnavailable
from support.packed import parse_request
from support.scripts import PRICE_US, SECOND_US, START_US, Bench, make_policy


async def test_a_request_is_accepted_with_all_that_the_rest_needs(bench: Bench) -> None:
    [answer] = await bench.enqueue(bench.order("ann", id="one", key="k", body=b'{"n":1}', on_unknown="dead"))
    assert answer == ("waiting", "one", (1, PRICE_US))
    request = parse_request(await bench.redis.hgetall(bench.keys.request("one")))
    assert request["agent"] == "ann"
    assert request["body"] == '{"n":1}'
    assert request["on_unknown"] == "dead"
    assert request["watchers"] == "p1"
    assert int(request["accepted_us"]) == START_US
    assert int(request["deadline_us"]) == START_US + 300 * SECOND_US
    entries = await bench.redis.xrange(bench.keys.backlog("interactive", "ann"))
    assert [(f"backlog {entry}", fields) for entry, fields in entries] == [(request["place"], {"id": "one"})]
    assert await bench.redis.zscore(bench.keys.fixed("expiry"), "one") == int(request["deadline_us"])
    assert await bench.counter("waiting") == 1
    assert await bench.counter("bytes") == 7
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1


async def test_without_a_pool_nothing_is_accepted(bench: Bench) -> None:
    await bench.redis.delete(bench.keys.fixed("config"))
    assert await bench.run("enqueue", ("p1",), [bench.order()]) == b"no pool"
    assert await bench.redis.exists(bench.keys.request("r1")) == 0


async def test_the_policy_version_comes_with_each_answer(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=60))
    version, _ = await bench.run("enqueue", ("p1",), [bench.order()])
    assert version == b"2"


async def test_the_same_id_joins_in_whatever_state_it_is(bench: Bench) -> None:
    order = bench.order(id="one")
    await bench.enqueue(order)
    again = [await bench.enqueue(order, producer="p2")]
    [leased] = await bench.take()
    again.append(await bench.enqueue(order, producer="p3"))
    await bench.retry(leased)
    again.append(await bench.enqueue(order, producer="p2"))
    assert [answer.kind for [answer] in again] == ["waiting", "in_flight", "delayed"]
    assert await bench.counter("waiting") == 0
    bench.advance(SECOND_US)
    [leased] = await bench.take()
    await bench.settle(leased, body=b"[1]")
    [final] = await bench.enqueue(order)
    assert final.kind == "final"
    assert final.values[0].endswith(b"\n[1]")
    assert [len(await bench.notices(producer)) for producer in ("p1", "p2", "p3")] == [1, 1, 1]


async def test_the_same_id_twice_in_one_call_is_one_request(bench: Bench) -> None:
    order, other = bench.order(id="one"), bench.order(id="one", body=b'{"n":2}')
    assert [answer.kind for answer in await bench.enqueue(order, order, other)] == ["waiting", "waiting", "conflict"]
    assert (await bench.counter("waiting"), await bench.redis.xlen(bench.keys.backlog("interactive", "ann"))) == (1, 1)
    assert len((await bench.lease(count=9)).leased) == 1


async def test_the_same_key_joins_within_the_agent_only(bench: Bench) -> None:
    answers = await bench.enqueue(
        bench.order("ann", id="one", key="k"),
        bench.order("ann", id="two", key="k"),
        bench.order("bob", id="three", key="k"),
    )
    assert [(answer.kind, answer.id) for answer in answers] == [
        ("waiting", "one"),
        ("waiting", "one"),
        ("waiting", "three"),
    ]
    assert await bench.counter("waiting") == 2
    assert await bench.redis.exists(bench.keys.request("two")) == 0


async def test_a_key_leads_to_the_outcome_of_before(bench: Bench) -> None:
    await bench.submit(id="one", key="k")
    await bench.settle(*await bench.take())
    [answer] = await bench.enqueue(bench.order(id="two", key="k"))
    assert (answer.kind, answer.id) == ("final", "one")


async def test_a_key_whose_request_is_forgotten_is_free_again(bench: Bench) -> None:
    await bench.submit(id="one", key="k")
    await bench.settle(*await bench.take())
    await bench.redis.delete(bench.keys.reply("one"))
    bench.accepted.clear()
    [answer] = await bench.enqueue(bench.order(id="two", key="k"))
    assert (answer.kind, answer.id) == ("waiting", "two")
    assert await bench.redis.get(bench.keys.idempotency("ann", "k")) == "two"


@pytest.mark.parametrize("answered", [False, True])
async def test_another_body_under_the_same_id_or_key_is_a_conflict(bench: Bench, answered: bool) -> None:
    await bench.submit(id="one", key="k")
    if answered:
        await bench.settle(*await bench.take())
    answers = await bench.enqueue(bench.order(id="one", body=b"[2]"), bench.order(id="two", key="k", body=b"[2]"))
    assert [(answer.kind, answer.id) for answer in answers] == [("conflict", "one"), ("conflict", "one")]


async def test_no_more_than_a_hundred_watch_one_request(bench: Bench) -> None:
    order = bench.order(id="one")
    for number in range(105):
        await bench.enqueue(order, producer=f"p{number}")
    watchers = str(await bench.redis.hget(bench.keys.request("one"), "watchers")).split()
    assert watchers == [f"p{number}" for number in range(100)]


async def test_an_agents_backlog_has_a_limit(bench: Bench) -> None:
    await bench.apply(make_policy(max_backlog_per_agent=2))
    answers = await bench.enqueue(*(bench.order("hog") for _ in range(3)), bench.order("ann"))
    assert [answer.kind for answer in answers] == ["waiting", "waiting", "agent_full", "waiting"]
    assert SECOND_US <= answers[2].values[0] <= 60 * SECOND_US
    assert await bench.redis.exists(bench.keys.request(answers[2].id)) == 0


async def test_the_pool_has_a_limit_of_requests_and_of_bytes(bench: Bench) -> None:
    await bench.apply(make_policy(max_backlog=2))
    answers = await bench.enqueue(*(bench.order(agent) for agent in "abc"))
    assert [answer.kind for answer in answers] == ["waiting", "waiting", "pool_full"]
    await bench.take(2)
    await bench.apply(make_policy(max_backlog_bytes=10))
    answers = await bench.enqueue(bench.order(body=b"123456"), bench.order(body=b"1"))
    assert [answer.kind for answer in answers] == ["waiting", "pool_full"]  # what is in flight still takes its room


async def test_a_body_may_be_as_large_as_the_limit(bench: Bench) -> None:
    await bench.apply(make_policy(max_request_bytes=5))
    answers = await bench.enqueue(bench.order(body=b"12345"), bench.order(body=b"123456"))
    assert [answer.kind for answer in answers] == ["waiting", "too_large"]
    assert answers[1].values == (5,)


async def test_a_request_that_would_come_too_late_is_refused(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=60))
    await bench.submit("ann", 5)
    tight, enough, later = await bench.enqueue(
        bench.order("ann", deadline_us=5_999_999), bench.order("ann", deadline_us=6_000_000),
        bench.order("bob", deadline_us=5_000_000, not_before_us=5_000_001),
    )  # fmt: skip
    assert (tight.kind, tight.values) == ("would_miss", (6_000_000, SECOND_US))
    assert (enough.kind, enough.values) == ("waiting", (6, 6_000_000))
    assert (later.kind, later.values) == ("would_miss", (5_000_001, SECOND_US))


async def test_position_and_eta_count_rounds_of_all_agents_that_wait(bench: Bench) -> None:
    await bench.submit("hog", 50)
    [first] = await bench.enqueue(bench.order("ann"))
    [second] = await bench.enqueue(bench.order("ann"))
    [of_hog] = await bench.enqueue(bench.order("hog"))
    [of_batch] = await bench.enqueue(bench.order("bea", lane="batch"))
    assert first.values[0] <= 2
    assert second.values[0] == 4
    assert of_hog.values[0] == 53  # never more than what waits
    assert of_batch.values == (54, 54 * PRICE_US)


async def test_not_before_waits_in_the_delayed_stream(bench: Bench) -> None:
    [answer] = await bench.enqueue(bench.order(id="one", not_before_us=5 * SECOND_US))
    assert answer.kind == "delayed"
    assert answer.values[1] == 5 * SECOND_US
    assert await bench.redis.zscore(bench.keys.fixed("due"), "one") == START_US + 5 * SECOND_US
    assert await bench.redis.xlen(bench.keys.fixed("retry")) == 1
    assert await bench.counter("waiting") == 0
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1


async def test_a_sleeper_that_holds_the_turn_is_not_woken(bench: Bench) -> None:
    await bench.submit("ann", 30)
    assert (await bench.lease()).verdict == "turn"
    await bench.redis.delete(bench.keys.fixed("wake"))
    await bench.submit("bob")
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 0


async def test_there_is_never_more_than_one_token(bench: Bench) -> None:
    await bench.submit("ann")
    await bench.submit("bob")
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1


async def test_a_full_server_takes_nothing_new_but_still_drains(bench: Bench) -> None:
    [request_id] = await bench.submit()
    await bench.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable, match="reached its maxmemory"):
            await bench.submit()
        await bench.settle(*await bench.take())
        assert await bench.cancel("nobody") == ["unknown"]
    finally:
        await bench.redis.config_set("maxmemory", 0)
    assert await bench.state(request_id) == "ok"
