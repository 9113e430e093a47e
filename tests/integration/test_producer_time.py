"""What time does to a request: deadlines, callers that stop waiting or leave, what comes later and what comes first."""

import asyncio
import json

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, DeadlineExceeded, ReplyTimeout, RequestCancelled, WouldMissDeadline
from sluicegate_worker import Dispatcher
from support.pools import chat, make_settings
from support.served_pool import PATH, POOL, apply_settings
from support.stored import holding_writes
from support.upstream import Upstream, answer, hang, once
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")


async def test_what_expires_while_nobody_serves_is_answered_and_never_sent(
    redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
    tickets = [await producer.submit(PATH, chat(), deadline=0.2, not_before=later) for later in (None, 0.1)]
    for ticket in tickets:
        with pytest.raises(DeadlineExceeded):
            await ticket.reply(timeout=20)
    async with Dispatcher(settings):
        assert (await producer.request(PATH, chat())).status == 200
    assert len(upstream.arrivals) == 1


async def test_what_expires_before_a_dispatcher_comes_is_answered_by_it(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
    ticket = await producer.submit(PATH, chat(), deadline=0.05)

    async def is_over() -> bool:
        seconds, microseconds = await client.time()
        return float(await client.zscore("sg:{chat}:expiry", ticket.id) or 0) < seconds * 1_000_000 + microseconds

    await wait_until(is_over, "the deadline has passed")
    async with Dispatcher(settings):
        with pytest.raises(DeadlineExceeded):
            await ticket.reply(timeout=20)
    assert upstream.arrivals == []


async def test_what_expires_while_its_upstream_pauses_is_never_sent(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = answer(429, headers={"retry-after": "60"})
    first = await producer.submit(PATH, chat(), deadline=0.3)
    await wait_until(lambda: upstream.arrivals, "the call arrived")
    with pytest.raises(DeadlineExceeded):
        await first.reply(timeout=20)
    with pytest.raises(WouldMissDeadline) as caught:
        await producer.submit(PATH, chat(), deadline=0.3)
    assert 50 < caught.value.retry_after_s < caught.value.eta_s < 61
    assert len(upstream.arrivals) == 1


async def test_a_call_in_flight_is_cut_at_its_deadline(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = hang
    calls = [producer.request(PATH, chat(str(number)), deadline=0.2 + number / 50) for number in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, DeadlineExceeded) for outcome in outcomes), outcomes
    await wait_until(lambda: dispatcher.in_flight == 0, "nothing is in flight")
    assert len(upstream.arrivals) == 20  # and none again for the moment that was left


async def test_who_stops_waiting_leaves_the_request_alive(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    ticket = await producer.submit(PATH, chat())
    for wait in (ticket.reply(timeout=0.05), producer.result(ticket.id, timeout=0.05)):
        with pytest.raises(ReplyTimeout):
            await wait
    gate.set()
    assert (await ticket.reply()).status == 200
    assert (await producer.result(ticket.id)).status == 200


async def test_cancelling_the_task_cancels_its_request(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    task = asyncio.create_task(producer.request(PATH, chat(), id="r1"))
    await wait_until(lambda: upstream.arrivals, "the call arrived")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with AsyncProducer(redis_url, pool=POOL) as other:
        with pytest.raises(RequestCancelled):
            await other.result("r1", timeout=15)
    gate.set()


async def test_cancelling_a_task_on_its_way_in_cancels_its_request(
    client: Redis, redis_url: str, producer: AsyncProducer
) -> None:
    await apply_settings(make_settings(redis_url))
    await (await producer.submit(PATH, chat())).cancel()  # so that the next need nothing but the way in
    async with holding_writes(client) as held:
        task = asyncio.create_task(producer.request(PATH, chat(), id="r1"))
        await wait_until(held, "the request is at the server")
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(RequestCancelled):
        await producer.result("r1", timeout=15)


@pytest.mark.parametrize("again", [{"id": "r1"}, {"key": "k"}])
async def test_cancelling_who_submits_again_leaves_what_was_accepted(
    client: Redis, redis_url: str, producer: AsyncProducer, again: dict[str, str]
) -> None:
    await apply_settings(make_settings(redis_url))
    ticket = await producer.submit(PATH, chat(), **again)  # type: ignore[arg-type]
    async with holding_writes(client) as held:
        task = asyncio.create_task(producer.request(PATH, chat(), **again))  # type: ignore[arg-type]
        await wait_until(held, "it is at the server again")
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ReplyTimeout, match="it is waiting"):
        await producer.result(ticket.id)
    await ticket.cancel()


async def test_what_was_submitted_outlives_the_task_that_waits(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    ticket = await producer.submit(PATH, chat())
    task = asyncio.create_task(ticket.reply())
    await wait_until(lambda: upstream.arrivals, "the call arrived")
    task.cancel()
    gate.set()
    assert (await ticket.reply()).status == 200


async def test_batch_work_takes_what_interactive_work_leaves(
    redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    settings = make_settings(redis_url, upstream.base_url, upstream={"max_in_flight": 1}, batch_share=0)
    await apply_settings(settings)
    batch = [await producer.submit(PATH, chat("batch"), priority="batch") for _ in range(3)]
    urgent = [await producer.submit(PATH, chat("urgent"), agent=f"a{n}") for n in range(10)]
    async with Dispatcher(settings):
        await asyncio.gather(*(ticket.reply() for ticket in batch + urgent))
    texts = [json.loads(arrival.body)["messages"][0]["content"] for arrival in upstream.arrivals]
    assert texts == ["urgent"] * 10 + ["batch"] * 3


async def test_not_before_its_time(dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer) -> None:
    ticket = await producer.submit(PATH, chat("later"), not_before=0.4)
    assert ticket.eta_s >= 0.4
    assert (await producer.request(PATH, chat("now"))).status == 200
    reply = await ticket.reply()
    assert reply.queued_s >= 0.4
    assert [json.loads(one.body)["messages"][0]["content"] for one in upstream.arrivals] == ["now", "later"]
