"""What ends a call in flight: its holder's death where it must not be called again, a cancellation, its deadline."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, DeadlineExceeded, RequestDead
from sluicegate_worker import Dispatcher
from support.fleet import Fleet
from support.leaks import assert_at_rest
from support.pools import chat, make_settings
from support.processes import write_settings
from support.served_pool import PATH, POOL
from support.stored import read_dead_letters
from support.upstream import Arrival, Connection, Upstream, answer, hang
from support.waiting import wait_until

pytestmark = pytest.mark.alone

LEASE_S = 2.0


@pytest.fixture
def fleet(tmp_path: Path, client: Redis, redis_url: str, upstream: Upstream) -> Fleet:
    file = write_settings(redis_url, upstream.base_url, "rpm = 6000", rules=[f"lease_s = {LEASE_S}"])
    return Fleet(tmp_path, client, file)


async def test_what_must_not_be_called_twice_is_dead_when_its_dispatcher_dies(
    client: Redis, upstream: Upstream, producer: AsyncProducer, fleet: Fleet
) -> None:
    upstream.next_up.extend([hang] * 2)
    async with fleet:
        [victim] = await fleet.start()
        once = await producer.submit(PATH, chat("once"), on_unknown="dead")
        again = await producer.submit(PATH, chat("again"))
        await wait_until(lambda: len(upstream.arrivals) == 2, "both are in flight")
        await fleet.start()
        await fleet.kill(victim)
        with pytest.raises(RequestDead) as death:
            await once.reply(20)
        assert death.value.reason == "on_unknown"
        assert (await again.reply(20)).attempts == 2
    assert len(upstream.of(once.id)) == 1
    assert len(upstream.of(again.id)) == 2
    [letter] = await read_dead_letters(client)
    assert (letter["id"], letter["reason"]) == (once.id, "on_unknown")
    await assert_at_rest(client, POOL)


async def test_cancelling_a_call_in_flight_hangs_up_and_makes_room(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    hung_up: list[str] = []

    async def hang_and_tell(arrival: Arrival, connection: Connection) -> None:
        await hang(arrival, connection)
        hung_up.append(arrival.headers["idempotency-key"])

    upstream.next_up.append(hang_and_tell)
    settings = make_settings(redis_url, upstream.base_url, upstream={"rpm": 6_000, "max_in_flight": 1})
    async with Dispatcher(settings):
        cancelled = await producer.submit(PATH, chat())
        await wait_until(lambda: len(upstream.arrivals) == 1, "it is in flight")
        waiting = await producer.submit(PATH, chat())
        assert await cancelled.cancel() == "cancelled"
        await wait_until(lambda: hung_up == [cancelled.id], "its connection is closed", 5)
        assert (await waiting.reply(5)).status == 200
    await assert_at_rest(client, POOL)


@pytest.mark.parametrize("another_runs", [True, False])
async def test_a_deadline_passes_while_the_holder_is_dead(
    client: Redis, upstream: Upstream, producer: AsyncProducer, fleet: Fleet, another_runs: bool
) -> None:
    upstream.behaviour = hang
    async with fleet:
        [victim] = await fleet.start()
        tickets = [await producer.submit(PATH, chat(str(n)), deadline=0.7 * LEASE_S) for n in range(5)]
        await wait_until(lambda: len(upstream.arrivals) == 5, "all are in flight")
        await fleet.kill(victim)
        if another_runs:
            await fleet.start()
        for ticket in tickets:
            with pytest.raises(DeadlineExceeded):
                await ticket.reply(20)
        upstream.behaviour = answer()
        if not another_runs:
            await fleet.start()
        assert (await producer.request(PATH, chat())).status == 200

        async def is_over() -> bool:
            return await client.xlen("sg:{chat}:run") == 0

        await wait_until(is_over, "what the dead one held is gone")
    assert len(upstream.arrivals) == 6
    await assert_at_rest(client, POOL)
