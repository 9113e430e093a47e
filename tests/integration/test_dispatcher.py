"""What a dispatcher makes of each answer of a provider: a reply, another try, a pause for all, or a dead letter."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, ReplyTimeout, RequestDead
from sluicegate.store import Store
from sluicegate_worker import Dispatcher
from sluicegate_worker.policy_settings import Breaker
from sluicegate_worker.registry import hold_pool
from sluicegate_worker.settings import Retry
from support.pools import chat, make_settings
from support.served_pool import PATH
from support.stored import read_dead_letters, send
from support.upstream import Arrival, Connection, Upstream, answer
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")


async def test_every_call_carries_its_id_and_its_number(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.next_up.extend([answer(500), answer(503)])
    reply = await producer.request(PATH, chat())
    assert (reply.status, reply.attempts) == (200, 3)
    sent = [(one.headers["idempotency-key"], one.headers["x-sluicegate-attempt"]) for one in upstream.arrivals]
    assert sent == [(reply.id, "1"), (reply.id, "2"), (reply.id, "3")]
    assert {one.headers["content-type"] for one in upstream.arrivals} == {"application/json"}
    assert {one.body for one in upstream.arrivals} == {upstream.arrivals[0].body}


@pytest.mark.parametrize("status", [200, 201, 204, 400, 404, 409, 413, 422, 451])
async def test_a_final_answer_is_the_reply(
    dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer, status: int
) -> None:
    body = b"" if status == 204 else b'{"error":{"message":"yours"}}'
    upstream.behaviour = answer(status, body)
    reply = await producer.request(PATH, chat())
    assert (reply.status, reply.body, reply.attempts) == (status, body, 1)
    assert len(upstream.arrivals) == 1


async def test_redirects_are_not_followed(dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer) -> None:
    for status in (301, 302, 307, 308):
        upstream.arrivals.clear()
        upstream.next_up.append(answer(status, headers={"location": upstream.base_url + "/elsewhere"}))
        death = await die(producer)
        assert (death.reason, death.status) == ("upstream_error", status)
        assert "redirects are not followed" in str(death.last_error)
        assert [one.path for one in upstream.arrivals] == ["/v1/chat/completions"]


async def test_a_request_that_fails_again_and_again_is_a_dead_letter_with_its_history(
    client: Redis, redis_url: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = answer(500, b'{"error":"broken"}')
    death = await die(producer, id="r1", key="k1")
    assert (death.reason, death.status) == ("attempts", 500)
    assert "broken" in str(death.last_error)
    assert len(upstream.arrivals) == 3
    [letter] = await read_dead_letters(client)
    assert (letter["id"], letter["agent"], letter["reason"], letter["status"]) == ("r1", "ann", "attempts", "500")
    history: list[dict[str, Any]] = json.loads(f"[{letter['history']}]")
    assert [(note["attempt"], note["upstream"], note["status"]) for note in history] == [
        (number, "a", 500) for number in (1, 2, 3)
    ]
    assert [note["at"] for note in history] == sorted(note["at"] for note in history)
    death = await die(producer, id="r1", key="k1")  # it is known, and not tried again
    assert death.reason == "attempts"
    assert len(upstream.arrivals) == 3


async def test_retries_spread_over_the_whole_delay(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    upstream.behaviour = answer(500)
    settings = make_settings(
        redis_url,
        upstream.base_url,
        retry=Retry(max_attempts=5, base_s=600, cap_s=600),
        breaker=Breaker(failures=1_000),
    )
    async with Dispatcher(settings):
        tickets = [await producer.submit(PATH, chat(), agent=f"a{n}", deadline=3_000) for n in range(40)]

        async def all_wait() -> bool:
            return int(await client.zcard("sg:{chat}:due")) == 40

        await wait_until(all_wait, "all wait for their next try")
        due = await send(client, "ZRANGE", "sg:{chat}:due", 0, -1, "WITHSCORES")
        due_s = sorted(float(score) / 1e6 for score in due[1::2])
        gaps_s = [later - sooner for sooner, later in pairwise(due_s)]
        assert due_s[-1] - due_s[0] > 300  # by chance less than that: once in 10^10
        assert due_s[-1] - due_s[0] <= 601
        assert sum(gap_s < 0.001 for gap_s in gaps_s) < 5
        for ticket in tickets:
            await ticket.cancel()
    assert len(upstream.arrivals) == 40


@pytest.mark.parametrize(
    ("status", "body"),
    [(429, b"{}"), (529, b"{}"), (503, b'{"error":{"code":"server_is_overloaded"}}')],
)
async def test_what_is_not_the_requests_fault_pauses_the_upstream_and_uses_no_attempt(
    redis_url: str, upstream: Upstream, producer: AsyncProducer, status: int, body: bytes
) -> None:
    """Each request is refused, fails once, and has its second and last try left."""
    ends = {"1": answer(status, body, {"retry-after": "0.2"}), "2": answer(500)}

    async def behave(arrival: Arrival, connection: Connection) -> None:
        await ends.get(arrival.headers["x-sluicegate-attempt"], answer())(arrival, connection)

    upstream.behaviour = behave
    settings = make_settings(
        redis_url,
        upstream.base_url,
        upstream={"max_in_flight": 1},
        retry=Retry(max_attempts=2, base_s=0.01, cap_s=0.02),
    )
    async with Dispatcher(settings):
        replies = await asyncio.gather(*(producer.request(PATH, chat(), agent=name) for name in ("ann", "bob")))
    assert [(reply.status, reply.attempts) for reply in replies] == [(200, 3)] * 2
    for sooner, later in pairwise(upstream.arrivals):
        assert sooner.headers["x-sluicegate-attempt"] != "1" or later.at - sooner.at > 0.19


async def test_refused_credentials_are_nobodys_answer(
    client: Redis, redis_url: str, dispatcher: Dispatcher, upstream: Upstream, producer: AsyncProducer
) -> None:
    """They wait, without using an attempt, until the key is taken again."""
    upstream.behaviour = answer(401, b'{"error":{"message":"Incorrect API key provided: sk-planted-0123456789"}}')
    tickets = [await producer.submit(PATH, chat(str(number)), agent=f"a{number}") for number in range(3)]

    async def is_paused() -> bool:
        return bool(await client.hget("sg:{chat}:upstream:a", "breaker_reason") == b"credentials")

    await wait_until(is_paused, "the breaker opens")
    await wait_until(lambda: dispatcher.in_flight == 0, "no call is in flight")
    for ticket in tickets:
        with pytest.raises(ReplyTimeout, match=r"delayed|waiting"):
            await producer.result(ticket.id)
    assert len(upstream.arrivals) <= 3
    upstream.behaviour = answer()
    async with Store(redis_url) as store:
        assert await hold_pool(store, "chat", None, "test", held=False)
    replies = [await ticket.reply(timeout=20) for ticket in tickets]
    assert {reply.status for reply in replies} == {200}


async def test_a_pause_is_everybodys(redis_url: str, upstream: Upstream, producer: AsyncProducer) -> None:
    """One dispatcher hears of it, the other keeps it too."""
    settings = make_settings(redis_url, upstream.base_url, upstream={"rpm": 600})
    async with Dispatcher(settings), Dispatcher(settings):
        upstream.next_up.append(answer(429, headers={"retry-after-ms": "600"}))
        first = await producer.submit(PATH, chat())
        await wait_until(lambda: upstream.arrivals, "the first call arrived")
        others = [await producer.submit(PATH, chat(str(number))) for number in range(4)]
        await asyncio.gather(*(ticket.reply() for ticket in (first, *others)))
    after_s = [arrival.at - upstream.arrivals[0].at for arrival in upstream.arrivals[1:]]
    assert sum(seconds < 0.59 for seconds in after_s) <= 1  # one slot may have been handed out before
    assert len(after_s) == 5


async def die(producer: AsyncProducer, **options: Any) -> RequestDead:
    with pytest.raises(RequestDead) as dead:
        await producer.request(PATH, chat(), **options)
    return dead.value
