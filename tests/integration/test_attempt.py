"""One attempt by itself: a slot that was missed, the time that a call may take, what travels beside the key."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from sluicegate import AsyncProducer, RequestDead
from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker import Dispatcher
from sluicegate_worker.attempt import MISSED_S, Attempts, Target
from sluicegate_worker.clock import StoreClock
from sluicegate_worker.loops.relayer import Relayer
from sluicegate_worker.observe.events import Events
from sluicegate_worker.observe.logs import LogLines
from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.repairs import Repairs
from sluicegate_worker.rows import Leased, read_grant
from sluicegate_worker.script_files import LEASE
from sluicegate_worker.settings import policy_of
from sluicegate_worker.upstream.call import Answer, Call, Listener
from support.pools import QUICK_RETRY, chat, make_settings
from support.served_pool import PATH, POOL, apply_settings
from support.stored import send
from support.upstream import Upstream
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("at_rest")


KEYS = PoolKeys(POOL)
TIMEOUT_S = 600.0


class Recorder:
    """An upstream that answers at once, and knows what it was asked."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.has_a_bug = False

    async def call(self, call: Call, listener: Listener | None = None) -> Answer:  # noqa: ARG002  # a whole
        self.calls.append(call)
        if self.has_a_bug:
            raise ZeroDivisionError
        return Answer(200, {}, b"{}")

    async def close(self) -> None:
        return


class Hand:
    """What a dispatcher does with one request, step by step."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store, self.clock, self.upstream = store, StoreClock(), Recorder()
        targets = {"a": Target(self.upstream, "openai", TIMEOUT_S, {})}
        events = Events(LogLines())
        repairs = Repairs(store, KEYS, events, self._notice_version)
        self._attempts = Attempts(
            store, KEYS, "d1", self.clock, targets, Relayer(store, KEYS, events), repairs, events, asyncio.Event()
        )
        self._attempts.policy = policy

    async def lease(self) -> Leased:
        leased = await self.lease_due()
        assert leased is not None
        return leased

    async def lease_due(self) -> Leased | None:
        grant = read_grant(await LEASE(self._store, KEYS, ("d1", 1, 1, 0), [("a",)]))
        self.clock.see(grant.now_us, time.monotonic())
        return next(iter(grant.leased), None)

    async def _notice_version(self, _: int | None) -> None:
        return

    async def carry_out(self, leased: Leased) -> None:
        await self._attempts.carry_out(leased)


@pytest.fixture
async def hand(redis_url: str) -> AsyncIterator[Hand]:
    """Leases and carries out by hand what no dispatcher serves."""
    settings = make_settings(redis_url)
    await apply_settings(settings)
    async with Store(redis_url) as store:
        yield Hand(store, policy_of(settings.pools[POOL]))


async def test_a_slot_that_was_missed_is_exchanged_before_anything_is_sent(
    client: Redis, producer: AsyncProducer, hand: Hand
) -> None:
    ticket = await producer.submit(PATH, chat())
    leased = await hand.lease()
    missed_at = hand.clock.monotonic_of(leased.slot_us) + 2 * MISSED_S
    await wait_until(lambda: time.monotonic() > missed_at, "the slot was missed")
    await hand.carry_out(leased)
    assert (await ticket.reply()).status == 200
    assert int(await send(client, "HGET", KEYS.fixed("sched"), "missed") or 0) >= 1
    assert len(hand.upstream.calls) == 1


async def test_a_call_may_take_until_the_deadline_and_no_longer(producer: AsyncProducer, hand: Hand) -> None:
    await producer.submit(PATH, chat(), deadline=30)
    await hand.carry_out(await hand.lease())
    await producer.submit(PATH, chat(), deadline=3_000)
    await hand.carry_out(await hand.lease())
    bounded, free = hand.upstream.calls
    assert 0 < bounded.timeout_s <= 30
    assert free.timeout_s == TIMEOUT_S


async def test_a_bug_of_the_dispatcher_uses_up_attempts_like_any_failure(producer: AsyncProducer, hand: Hand) -> None:
    hand.upstream.has_a_bug = True
    ticket = await producer.submit(PATH, chat())

    async def is_over() -> bool:
        leased = await hand.lease_due()
        if leased is not None:
            await hand.carry_out(leased)
        return len(hand.upstream.calls) == QUICK_RETRY.max_attempts

    await wait_until(is_over, "all attempts are used up")
    with pytest.raises(RequestDead) as death:
        await ticket.reply(5)
    assert (death.value.reason, death.value.last_error) == ("attempts", "the dispatcher failed; see its log")


async def test_headers_pass_by_the_allow_list_again_whoever_has_put_them_into_redis(
    client: Redis, redis_url: str, upstream: Upstream, producer: AsyncProducer
) -> None:
    settings = make_settings(redis_url, upstream.base_url)
    await apply_settings(settings)
    ticket = await producer.submit(PATH, chat())
    planted = {"authorization": "Bearer planted", "cookie": "planted", "x-planted": "planted", "traceparent": "00-1"}
    head = msgspec.json.encode({"method": "POST", "path": PATH, "headers": planted})
    await send(client, "HSET", KEYS.request(ticket.id), "head", head)
    async with Dispatcher(settings):
        await ticket.reply()
    [arrival] = upstream.arrivals
    assert arrival.headers["traceparent"] == "00-1"
    assert "planted" not in " ".join(arrival.headers.values())
