"""What stands still for longer than a lease and then goes on: the server, a dispatcher, its event loop, its network."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, Ticket
from sluicegate_worker import Dispatcher
from support.fleet import SEES_HANDLERS, Fleet, assert_paid_once, list_held
from support.leaks import assert_at_rest
from support.pools import chat, make_settings
from support.processes import standing_still, write_settings
from support.proxy import Proxy
from support.restarting import RestartingServer
from support.served_pool import PATH, POOL
from support.stored import send
from support.upstream import Arrival, Behaviour, Connection, Upstream, answer, once
from support.waiting import make_alarm, wait_until

pytestmark = pytest.mark.alone

LEASE_S = 2.0
RULES = [f"lease_s = {LEASE_S}"]


async def submit(producer: AsyncProducer, count: int, **fields: object) -> list[Ticket]:
    bodies = [chat(str(number), **fields) for number in range(count)]
    return list(
        await asyncio.gather(*(producer.submit(PATH, b, agent=f"a{n % 7}", deadline=60) for n, b in enumerate(bodies)))
    )


async def stand_still(leases: float) -> None:
    seconds = leases * LEASE_S
    await wait_until(make_alarm(seconds), f"{leases} leases have passed", seconds + 5)


def by_attempt(behaviours: dict[str, Behaviour], otherwise: Behaviour) -> Behaviour:
    async def behave(arrival: Arrival, connection: Connection) -> None:
        await behaviours.get(arrival.headers["x-sluicegate-attempt"], otherwise)(arrival, connection)

    return behave


def called(upstream: Upstream) -> list[str]:
    return [arrival.headers["idempotency-key"] for arrival in upstream.arrivals]


async def read_replies(client: Redis, tickets: list[Ticket]) -> list[bytes]:
    keys = [f"sg:{{chat}}:reply:{ticket.id}" for ticket in tickets]
    replies: list[bytes] = await send(client, "MGET", *keys)
    return replies


async def test_a_frozen_server_costs_no_duplicate(
    own_server: RestartingServer, own_client: Redis, upstream: Upstream, tmp_path: Path
) -> None:
    """It stands still for three leases with calls in flight, of which half are answered meanwhile; others wait."""
    meanwhile, afterwards = asyncio.Event(), asyncio.Event()
    upstream.next_up.extend([once(meanwhile, answer()), once(afterwards, answer())] * 20)
    file = write_settings(own_server.url, upstream.base_url, "rpm = 6000", "max_in_flight = 50", rules=RULES)
    async with Fleet(tmp_path, own_client, file) as fleet:
        await fleet.start(2)
        async with AsyncProducer(own_server.url, pool=POOL) as producer:
            tickets = await submit(producer, 200)
            await wait_until(lambda: len(upstream.arrivals) >= 60, "it is under load")
            own_server.freeze()
            meanwhile.set()
            await stand_still(3)
            own_server.thaw()
            await stand_still(1.2)
            afterwards.set()
            replies = await asyncio.gather(*(ticket.reply() for ticket in tickets))
    assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}
    assert len(upstream.arrivals) == 200
    assert_paid_once(called(upstream))
    await assert_at_rest(own_client, POOL)


async def test_a_dispatcher_that_stood_still_calls_nothing_late_and_changes_no_outcome(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, tmp_path: Path
) -> None:
    """Another answers what it held. Awake again it sends nothing that it had not sent; its answers change nothing."""
    gate, taken_over = asyncio.Event(), list[Ticket]()

    async def behave(arrival: Arrival, connection: Connection) -> None:
        again = arrival.headers["x-sluicegate-attempt"] == "2"
        known = arrival.headers["idempotency-key"] in {ticket.id for ticket in taken_over}
        await (answer(body=b'"first"') if again and known else once(gate, answer(body=b'"late"')))(arrival, connection)

    upstream.behaviour = behave
    rules = [*RULES, "slot_horizon_s = 1"]  # so that it holds what it has not sent yet
    async with Fleet(tmp_path, client, write_settings(redis_url, upstream.base_url, "rpm = 600", rules=rules)) as fleet:
        sleeper, _ = await fleet.start(2)
        tickets = await submit(producer, 40)

        async def holds_both() -> bool:
            held = set(await list_held(client, sleeper))
            return bool(held & set(called(upstream))) and len(held - set(called(upstream))) > 2

        await wait_until(holds_both, "it has calls in flight, and others still to send")
        with standing_still(sleeper):
            held = await list_held(client, sleeper)
            taken_over += [ticket for ticket in tickets if ticket.id in held and ticket.id in called(upstream)]
            assert 0 < len(taken_over) < len(held)
            await stand_still(3)
            replies = await asyncio.gather(*(ticket.reply() for ticket in taken_over))
            assert {(reply.body, reply.attempts) for reply in replies} == {(b'"first"', 2)}
            outcomes = await read_replies(client, taken_over)
        unsent = len(held) - len(taken_over)
        await wait_until(lambda: sleeper.words.count("it is not sent from here") == unsent, "it has let go of the rest")
        gate.set()
        await asyncio.gather(*(ticket.reply() for ticket in tickets))
        assert await fleet.retire(sleeper) == 0  # and so all its calls have come to an end
    assert await read_replies(client, taken_over) == outcomes
    assert_paid_once(called(upstream), dict.fromkeys((ticket.id for ticket in taken_over), 1))
    await assert_at_rest(client, POOL)


async def test_a_blocked_event_loop_costs_no_more_than_what_it_held(
    client: Redis, redis_url: str, producer: AsyncProducer, tmp_path: Path
) -> None:
    log, gate = tmp_path / "calls", tmp_path / "gate"

    def list_calls() -> list[str]:
        return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []

    file = write_settings(redis_url, "support.handlers:endanger", "rpm = 6000", rules=RULES)
    async with Fleet(tmp_path, client, file, SEES_HANDLERS) as fleet:
        blocked, other = await fleet.start(2)
        with standing_still(other):  # so that the first takes everything
            tickets = await submit(producer, 5, log=str(log), do="wait", gate=str(gate))
            await wait_until(lambda: len(list_calls()) == 5, "five calls are in flight")
            tickets += await submit(producer, 1, log=str(log), do="block", block_s=3 * LEASE_S)
            await wait_until(lambda: len(list_calls()) == 6, "it is blocked")
        held = await list_held(client, blocked)
        assert sorted(held) == sorted(ticket.id for ticket in tickets)
        await wait_until(lambda: len(list_calls()) == 12, "the other has taken them over")
        gate.touch()
        tickets += await submit(producer, 20, log=str(log))
        replies = await asyncio.gather(*(ticket.reply() for ticket in tickets))
        assert {reply.status for reply in replies} == {200}
    assert_paid_once(list_calls(), dict.fromkeys(held, 1))
    await assert_at_rest(client, POOL)


async def test_what_was_paid_for_in_a_black_hole_is_delivered_after_it(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    """A dispatcher is cut off for two leases and answered meanwhile; another calls again, and is slower."""
    during, after = asyncio.Event(), asyncio.Event()
    paid, again = once(during, answer(body=b'"paid"')), once(after, answer(body=b'"again"'))
    upstream.behaviour = by_attempt({"1": paid}, again)
    async with Proxy(redis_url) as proxy:
        rules: dict[str, Any] = {"upstream": {"rpm": 6_000}, "lease_s": LEASE_S}
        async with Dispatcher(make_settings(proxy.url, upstream.base_url, **rules)):
            tickets = await submit(producer, 8)
            await wait_until(lambda: len(upstream.arrivals) == 8, "it has calls in flight")
            proxy.swallow()
            async with Dispatcher(make_settings(redis_url, upstream.base_url, **rules)):
                await wait_until(lambda: len(upstream.arrivals) == 16, "the other calls again")
                during.set()
                await stand_still(1)
                proxy.heal()
                replies = await asyncio.gather(*(ticket.reply() for ticket in tickets))
                assert {json.loads(reply.body) for reply in replies} == {"paid"}
                outcomes = await read_replies(client, tickets)
                after.set()
    assert await read_replies(client, tickets) == outcomes
    assert_paid_once(called(upstream), dict.fromkeys([ticket.id for ticket in tickets], 1))
    await assert_at_rest(client, POOL)
