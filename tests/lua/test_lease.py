"""lease: which requests are handed out, with which slots, and what is taken along."""

import pytest

from support.packed import parse_entry
from support.scripts import HORIZON_US, PRICE_US, SECOND_US, START_US, Bench, make_policy, make_upstream


async def test_without_a_pool_there_is_nothing_to_lease(bench: Bench) -> None:
    await bench.redis.delete(bench.keys.fixed("config"))
    assert await bench.run("lease", ("d1", 1, 1, 0), [("a",)]) == b"no pool"


async def test_a_lease_carries_all_that_a_call_needs(bench: Bench) -> None:
    [answer] = await bench.enqueue(bench.order("ann", id="one", body=b'{"n":1}'))
    assert answer.kind == "waiting"
    bench.advance(5)
    grant = await bench.lease("d1")
    [leased] = grant.leased
    assert (grant.now_us, grant.version, grant.expired, grant.undecodable) == (START_US + 5, 1, 0, 0)
    assert leased.fence
    assert leased[1:10] == ("one", START_US + 5, "a", "interactive", "ann", 0, 1, START_US + 300 * SECOND_US, START_US)
    assert leased.head == b'{"method":"POST","path":"/embeddings"}'
    assert leased.body == b'{"n":1}'
    assert len(leased.digest) == 32


async def test_a_leased_request_is_in_run_and_nowhere_else(bench: Bench) -> None:
    await bench.submit("ann", id="one")
    [leased] = await bench.take(dispatcher="d7")
    [(entry, fields)] = await bench.redis.xrange(bench.keys.fixed("run"))
    assert entry == leased.fence
    assert parse_entry(fields) == {
        "id": "one", "agent": "ann", "upstream": "a", "slot_us": str(leased.slot_us), "send": "1", "dispatcher": "d7",
        "leased_us": str(bench.now_us), "lane": "interactive", "tokens_in": "0", "tokens_out": "0", "tokens": "0",
        "cost": str(PRICE_US), "start_us": "0", "handed_calls": "1", "handed_in": "0", "handed_out": "0",
    }  # fmt: skip
    [pending] = await bench.redis.xpending_range(bench.keys.fixed("run"), "dispatchers", "-", "+", 10)
    assert (pending["message_id"], pending["consumer"]) == (leased.fence, "d7")
    assert await bench.redis.hget(bench.keys.request("one"), "place") == f"run {leased.fence}"
    for key in (bench.keys.backlog("interactive", "ann"), bench.keys.ring("interactive"), bench.keys.fixed("expiry")):
        assert await bench.redis.exists(key) == 0
    assert await bench.counter("waiting") == 0
    assert await bench.in_flight() == 1
    assert (await bench.lease("d2")).leased == []


async def test_slots_are_evenly_spaced_within_the_horizon(bench: Bench) -> None:
    await bench.submit("ann", 30)
    grant = await bench.lease()
    assert [one.slot_us - START_US for one in grant.leased] == [at * PRICE_US for at in range(11)]
    bench.advance(25_000)
    grant = await bench.lease("d2")
    assert [one.slot_us - START_US for one in grant.leased] == [110_000, 120_000]
    bench.advance(SECOND_US)
    [leased] = (await bench.lease(count=1)).leased
    assert leased.slot_us == bench.now_us  # what was not used is lost: there is no burst afterwards


async def test_a_lease_is_bounded_by_count(bench: Bench) -> None:
    await bench.submit("ann", 5)
    grant = await bench.lease(count=3)
    assert (len(grant.leased), grant.verdict, grant.wait_us) == (3, "full", 0)


async def test_a_lease_is_bounded_by_bytes_but_the_first_always_fits(bench: Bench) -> None:
    await bench.submit("ann", 5, body=b'"' + b"x" * 98 + b'"')
    assert [len((await bench.lease(bytes=size)).leased) for size in (1, 150, 200)] == [1, 2, 2]


async def test_never_more_in_flight_than_allowed(bench: Bench) -> None:
    await bench.apply(make_policy(max_in_flight=3))
    await bench.submit("ann", 6)
    grant = await bench.lease()
    assert len(grant.leased) == 3
    bench.advance(SECOND_US)
    refused = await bench.lease("d2")
    assert (refused.leased, refused.verdict) == ([], "block")
    await bench.settle(grant.leased[0])
    assert len((await bench.lease("d2")).leased) == 1


async def test_a_late_dispatcher_gets_slots_that_it_can_reach(bench: Bench) -> None:
    await bench.submit("ann", 30)
    grant = await bench.lease(count=2, lead_us=30_000)
    assert [one.slot_us - START_US for one in grant.leased] == [30_000, 40_000]
    bench.advance(SECOND_US)
    [leased] = (await bench.lease(count=1, lead_us=10 * SECOND_US)).leased
    assert leased.slot_us - bench.now_us == HORIZON_US // 2  # never so late that others find the horizon taken


async def test_without_a_limit_all_is_sent_at_once(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=None))
    await bench.submit("ann", 60)
    grant = await bench.lease()
    assert [one.slot_us for one in grant.leased] == [START_US] * 60


async def test_of_several_upstreams_the_one_that_opens_first_is_taken(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=(make_upstream("a", rpm=6000), make_upstream("b", rpm=3000))))
    await bench.submit("ann", 60)
    grant = await bench.lease()
    by_name = {name: [one.slot_us - START_US for one in grant.leased if one.upstream == name] for name in "ab"}
    assert by_name["a"] == [at * 10_000 for at in range(11)]
    assert by_name["b"] == [at * 20_000 for at in range(6)]


async def test_only_upstreams_that_the_dispatcher_can_serve_are_used(bench: Bench) -> None:
    await bench.apply(make_policy(upstreams=(make_upstream("a"), make_upstream("b"))))
    await bench.submit("ann", 30)
    grant = await bench.lease(upstreams=("b", "unheard-of"))
    assert {one.upstream for one in grant.leased} == {"b"}
    assert (await bench.lease(upstreams=("unheard-of",))).leased == []


async def test_a_pause_holds_for_every_dispatcher(bench: Bench) -> None:
    await bench.submit("ann", 3)
    [leased] = await bench.take()
    await bench.retry(leased, pause_us=2 * SECOND_US, fault="rate")
    for dispatcher in ("d1", "d2"):
        assert (await bench.lease(dispatcher)).leased == []
    bench.advance(2 * SECOND_US - HORIZON_US)
    grant = await bench.lease("d2")
    assert grant.leased[0].slot_us == START_US + 2 * SECOND_US


async def test_what_is_delayed_comes_back_in_due_order_and_counts_its_sends(bench: Bench) -> None:
    await bench.submit("ann", 3)
    first, second, third = await bench.take(3)
    await bench.retry(first, delay_us=3 * SECOND_US)
    await bench.retry(second, delay_us=2 * SECOND_US, used=0)
    await bench.retry(third, delay_us=9 * SECOND_US)
    assert (await bench.lease()).leased == []
    bench.advance(3 * SECOND_US)
    again = await bench.take(2)
    assert [(one.id, one.attempts, one.sends) for one in again] == [(second.id, 0, 2), (first.id, 1, 2)]
    assert await bench.redis.xlen(bench.keys.fixed("retry")) == await bench.redis.zcard(bench.keys.fixed("due")) == 1


async def test_what_was_not_to_be_sent_before_enters_its_backlog_in_time(bench: Bench) -> None:
    [request_id] = await bench.submit("ann", not_before_us=5 * SECOND_US)
    assert (await bench.lease()).leased == []
    bench.advance(5 * SECOND_US - 1)
    assert (await bench.lease()).leased == []
    bench.advance(1)
    [leased] = await bench.take()
    assert (leased.id, leased.sends) == (request_id, 1)
    assert await bench.redis.exists(bench.keys.fixed("retry"), bench.keys.fixed("due")) == 0


async def test_expired_requests_are_answered_and_cost_nothing(bench: Bench) -> None:
    await bench.submit("ann", 3, deadline_us=SECOND_US)
    [alive] = await bench.submit("ann")
    bench.advance(SECOND_US)
    grant = await bench.lease()
    assert grant.expired == 3
    assert [(one.id, one.slot_us) for one in grant.leased] == [(alive, bench.now_us)]
    assert [await bench.state(f"r{number}") for number in (1, 2, 3)] == ["expired"] * 3
    head = await bench.outcome("r1")
    assert head is not None
    assert (head.attempts, head.queued_s, head.agent) == (0, 1.0, "ann")
    assert len(await bench.notices()) == 1  # one entry for all
    assert await bench.counter("expired") == 3


@pytest.mark.parametrize("many", [99, 100, 250])
async def test_expired_requests_beyond_a_hundred_are_met_on_the_way(bench: Bench, many: int) -> None:
    await bench.submit("ann", many, deadline_us=3 * SECOND_US)
    await bench.submit("bob")
    bench.advance(3 * SECOND_US)
    leased: list[str] = []
    for _ in range(3):
        leased += [one.agent for one in (await bench.lease()).leased]
    assert leased == ["bob"]
    assert await bench.counter("expired") == many


async def test_retries_that_expired_are_answered_and_not_sent(bench: Bench) -> None:
    await bench.apply(make_policy(rpm=None))
    await bench.submit("ann", 150, deadline_us=60 * SECOND_US)
    await bench.retry(*await bench.take(150), delay_us=30 * SECOND_US)
    await bench.submit("bob")
    bench.advance(60 * SECOND_US)
    assert [one.agent for one in (await bench.lease()).leased] == ["bob"]
    assert await bench.counter("expired") == 150


async def test_a_paused_pool_still_answers_what_expires(bench: Bench) -> None:
    await bench.submit("ann", 2, deadline_us=SECOND_US)
    [leased] = await bench.take()
    await bench.retry(leased, delay_us=0, pause_us=50 * SECOND_US, fault="rate")
    bench.advance(SECOND_US)
    grant = await bench.lease()
    assert (grant.expired, grant.leased) == (2, [])
    assert await bench.counter("waiting") == 0
