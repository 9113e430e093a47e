"""What a caller gets: a reply, a ticket and its states, the same request asked for twice."""

import asyncio
import json
import subprocess
import sys

import pytest
from redis.asyncio import Redis

from sluicegate import (
    AsyncProducer,
    DeadlineExceeded,
    InvalidRequest,
    Reply,
    ReplyTimeout,
    RequestCancelled,
    RequestDead,
    StoreUnavailable,
    UnknownRequest,
)
from sluicegate_worker import Dispatcher
from support.pools import chat, make_settings
from support.served_pool import PATH, POOL, apply_settings
from support.upstream import Upstream, answer, echo, once
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")

ASK_FOR_RESULT = """
import asyncio, sys
from sluicegate import AsyncProducer
async def main(url, request_id):
    async with AsyncProducer(url) as producer:
        reply = await producer.result(request_id, timeout=20)
        print(reply.body.decode(), reply.agent)
asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_reply_says_what_happened(dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer) -> None:
    body = b'{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4}}'
    upstream.behaviour = answer(
        200, body, {"x-request-id": "r7", "set-cookie": "c=1", "x-ratelimit-limit-requests": "9"}
    )
    reply = await producer.request(PATH, chat("hi"), agent="bob")
    assert (reply.status, reply.body, reply.json()) == (200, body, json.loads(body))
    assert (reply.agent, reply.upstream, reply.attempts) == ("bob", "a", 1)
    assert reply.usage == {"prompt_tokens": 3, "completion_tokens": 4}
    assert reply.headers.items() >= {"x-request-id": "r7", "x-ratelimit-limit-requests": "9"}.items()
    assert "set-cookie" not in reply.headers
    assert reply.queued_s >= 0
    assert reply.upstream_s > 0
    [arrival] = upstream.arrivals
    assert (arrival.method, arrival.path) == ("POST", "/v1/chat/completions")
    assert json.loads(arrival.body) == chat("hi")
    assert arrival.headers["idempotency-key"] == reply.id


async def test_what_waits_can_be_asked_for_and_cancelled(
    client: Redis, redis_url: str, producer: AsyncProducer
) -> None:
    await apply_settings(make_settings(redis_url))
    for state, not_before in (("waiting", None), ("delayed", 60)):
        ticket = await producer.submit(PATH, chat(), not_before=not_before)
        with pytest.raises(ReplyTimeout, match=state):
            await producer.result(ticket.id)
        with pytest.raises(ReplyTimeout, match="lives on"):
            await ticket.reply(timeout=0.01)
        assert await ticket.cancel() == "cancelled"
        await assert_cancelled(producer, ticket.id)
        with pytest.raises(RequestCancelled):
            await ticket.reply()
    assert await client.hget("sg:{chat}:sched", "waiting") == b"0"


async def test_a_call_in_flight_can_be_cancelled(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    ticket = await producer.submit(PATH, chat())
    await wait_until(lambda: upstream.arrivals, "the call arrived")
    with pytest.raises(ReplyTimeout, match="in_flight"):
        await producer.result(ticket.id)
    assert await ticket.cancel() == "cancelled"
    with pytest.raises(RequestCancelled):
        await ticket.reply()
    gate.set()  # the late answer is dropped: an outcome is final
    await wait_until(lambda: dispatcher.in_flight == 0, "the call has ended")
    await assert_cancelled(producer, ticket.id)


async def test_a_delayed_retry_can_be_cancelled(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = answer(429, headers={"retry-after": "60"})
    ticket = await producer.submit(PATH, chat())
    await wait_until_state(producer, ticket.id, "delayed")
    assert await ticket.cancel() == "cancelled"
    await assert_cancelled(producer, ticket.id)
    assert len(upstream.arrivals) == 1


async def test_final_states_stay_as_they_are(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.next_up.extend([answer(400, b'{"error":"yours"}'), answer(302)])
    ok, dead = await producer.submit(PATH, chat("a")), await producer.submit(PATH, chat("b"))
    expired = await producer.submit(PATH, chat("c"), not_before=0.2, deadline=0.2)
    assert (await ok.reply()).status == 400
    with pytest.raises(RequestDead) as death:
        await dead.reply()
    assert (death.value.reason, death.value.status) == ("upstream_error", 302)
    with pytest.raises(DeadlineExceeded):
        await expired.reply()
    async with AsyncProducer(redis_url, pool=POOL) as other:
        assert [await one.cancel() for one in (ok, dead, expired)] == ["ok", "dead", "expired"]
        assert await other.result(ok.id) == await ok.reply()
        with pytest.raises(RequestDead):
            await other.result(dead.id)
        with pytest.raises(DeadlineExceeded):
            await other.result(expired.id)
    assert len(upstream.arrivals) == 2


async def test_another_process_reads_the_result(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer(body=b'{"n":7}'))
    ticket = await producer.submit(PATH, chat())
    command = [sys.executable, "-c", ASK_FOR_RESULT, redis_url, ticket.id]
    asking = asyncio.create_task(
        asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=30, check=False)
    )
    await wait_until(lambda: upstream.arrivals, "the call arrived")
    gate.set()
    done = await asking
    assert (done.stdout, done.stderr) == (b'{"n":7} ann\n', b"")
    assert (await ticket.reply()).body == b'{"n":7}'


async def test_asking_for_a_result_takes_nothing_from_those_who_wait(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    ticket = await producer.submit(PATH, chat())
    waiting = asyncio.create_task(ticket.reply(timeout=15))
    await wait_until(lambda: upstream.arrivals, "the call arrived")
    with pytest.raises(ReplyTimeout):
        await producer.result(ticket.id)
    with pytest.raises(InvalidRequest):
        await producer.submit(PATH, chat("another body"), id=ticket.id)
    gate.set()
    assert (await waiting).status == 200


async def test_nobody_knows_an_unknown_id(redis_url: str, producer: AsyncProducer) -> None:
    await apply_settings(make_settings(redis_url))
    with pytest.raises(UnknownRequest, match="never accepted"):
        await producer.result("01890000-0000-7000-8000-000000000000")
    async with AsyncProducer(redis_url) as anywhere:
        with pytest.raises(UnknownRequest):
            await anywhere.result("01890000-0000-7000-8000-000000000000", timeout=5)


async def test_a_hundred_callers_with_one_key_share_a_call(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = echo
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as other:
        calls = [(producer, other)[number % 2].request(PATH, chat("same"), key="k 1") for number in range(100)]
        replies = await asyncio.gather(*calls)
        again = await other.request(PATH, chat("same"), key="k 1")
    assert len(upstream.arrivals) == 1
    assert all(reply == again for reply in replies)
    assert json.loads(again.body) == chat("same")


async def test_a_key_belongs_to_its_agent(dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer) -> None:
    await asyncio.gather(*(producer.request(PATH, chat(), key="k", agent=name) for name in ("ann", "bob")))
    assert len(upstream.arrivals) == 2


async def test_the_same_id_is_the_same_request(
    redis_url: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as other:
        replies: list[Reply] = await asyncio.gather(
            *(one.request(PATH, chat(), id="my-own.1") for one in (producer, other, producer))
        )
    assert {reply.id for reply in replies} == {"my-own.1"}
    assert len(upstream.arrivals) == 1


@pytest.mark.parametrize("name", ["id", "key"])
async def test_the_same_name_for_another_body_is_refused(
    name: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    gate = asyncio.Event()
    upstream.behaviour = once(gate, answer())
    first = await producer.submit(PATH, chat("a"), **{name: "x1"})  # type: ignore[arg-type]  # one of two keywords
    for _ in range(2):  # while it is open, and when it has its outcome
        with pytest.raises(InvalidRequest, match=f"{name} .*x1.* was used before with another"):
            await producer.submit(PATH, chat("b"), **{name: "x1"})  # type: ignore[arg-type]  # one of two keywords
        gate.set()
        assert (await first.reply(timeout=15)).status == 200
    assert len(upstream.arrivals) == 1


async def test_who_still_waits_when_the_producer_closes_is_told(redis_url: str) -> None:
    await apply_settings(make_settings(redis_url))
    async with AsyncProducer(redis_url, pool=POOL, agent="ann") as closing:
        ticket = await closing.submit(PATH, chat(), deadline=0.5)
        waiting = asyncio.create_task(ticket.reply())
    with pytest.raises(StoreUnavailable, match="closed"):
        await waiting
    async with AsyncProducer(redis_url, pool=POOL) as later:
        with pytest.raises(DeadlineExceeded):
            await later.result(ticket.id, timeout=15)


async def assert_cancelled(producer: AsyncProducer, request_id: str) -> None:
    with pytest.raises(RequestCancelled):
        await producer.result(request_id)


async def wait_until_state(producer: AsyncProducer, request_id: str, state: str) -> None:
    async def reached() -> bool:
        try:
            await producer.result(request_id)
        except ReplyTimeout as error:
            return state in str(error)
        return False

    await wait_until(reached, f"the request is {state}")
