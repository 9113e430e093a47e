"""Dispatchers come and go under load: by SIGTERM without a trace, by SIGKILL with an answer a lease later."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, Reply
from support.fleet import Fleet, assert_paid_once, list_held
from support.leaks import assert_at_rest
from support.pools import chat
from support.processes import start_simulator, write_settings
from support.served_pool import PATH, POOL
from support.upstream import Upstream, answer, once
from support.waiting import make_alarm, wait_until

pytestmark = pytest.mark.alone

LEASE_S = 1.5


async def test_a_rolling_restart_of_four_loses_and_repeats_nothing(
    client: Redis, redis_url: str, producer: AsyncProducer, tmp_path: Path
) -> None:
    over = asyncio.Event()

    async def ask(agent: str) -> list[Reply]:
        replies = []
        while not over.is_set():
            replies.append(await producer.request(PATH, chat(max_tokens=4), agent=agent))
        return replies

    slow = ("--latency-median-s", str(1.5 * LEASE_S), "--latency-sigma", "0.1")  # who drains renews meanwhile
    with start_simulator(tmp_path, 3_000, *slow) as simulator:
        file = write_settings(redis_url, simulator.base_url, "rpm = 3000", rules=[f"lease_s = {LEASE_S}"])
        async with Fleet(tmp_path, client, file) as fleet:
            old = await fleet.start(4)
            asking = [asyncio.create_task(ask(f"a{number % 9}")) for number in range(60)]
            await wait_until(lambda: simulator.count() > 30, "it is under load")
            in_flight, leaving = 0, []
            for leaver in old:
                in_flight += len(await list_held(client, leaver))
                leaving.append(asyncio.create_task(fleet.retire(leaver)))
                await fleet.start()
            assert await asyncio.gather(*leaving) == [0, 0, 0, 0]
            await wait_until(make_alarm(1.5 * LEASE_S), "whatever they left behind would have been taken over")
            over.set()
            replies = [reply for answered in await asyncio.gather(*asking) for reply in answered]
            assert in_flight > 0, "nobody had anything to do when told to end"
        await wait_until(lambda: simulator.count() >= len(replies), "all calls are in the log")
        calls = simulator.calls()
    assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}
    assert {call.id for call in calls} == {reply.id for reply in replies}
    assert {call.attempt for call in calls} == {1}
    assert_paid_once(call.id for call in calls)
    await assert_at_rest(client, POOL)


async def test_what_a_killed_one_held_is_answered_soon_by_another(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer, tmp_path: Path
) -> None:
    never = asyncio.Event()
    upstream.next_up.extend([once(never, answer())] * 20)
    file = write_settings(redis_url, upstream.base_url, "rpm = 6000", rules=[f"lease_s = {LEASE_S}"])
    async with Fleet(tmp_path, client, file) as fleet:
        [victim] = await fleet.start()
        asked = [asyncio.create_task(producer.request(PATH, chat(str(n)), agent=f"a{n % 7}")) for n in range(20)]
        await wait_until(lambda: len(upstream.arrivals) == 20, "twenty calls are in flight")
        await fleet.start()
        assert len(await fleet.kill(victim)) == 20
        await wait_until(lambda: all(one.done() for one in asked), "all are answered", LEASE_S + 5)
        assert {(reply.status, reply.attempts) for reply in await asyncio.gather(*asked)} == {(200, 2)}
    assert_paid_once((arrival.headers["idempotency-key"] for arrival in upstream.arrivals), fleet.held)
    await assert_at_rest(client, POOL)
