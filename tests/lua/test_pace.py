"""retry, lease, enqueue: which part of its rate an upstream is used at after refusals, and how that comes back."""

import math
from typing import Any

import pytest

from support.scripts import PRICE_US, SECOND_US, START_US, Bench, make_policy, make_upstream
from support.traffic import LONG_S, take_slots

MOMENTS = (
    "last_slot_us", "pause_until_us", "reported_us", "decreased_us", "ramp_us", "opened_us", "open_until_us",
    "closed_us", "tat_us:rpm",
)  # fmt: skip


async def read_pace(bench: Bench, price_us: int = PRICE_US) -> float:
    """By the price of the next slot, which is leased for it."""
    await bench.submit("ann", deadline_us=LONG_S * SECOND_US)
    while not (grant := await bench.lease(count=1)).leased:
        bench.advance(SECOND_US // 100)
    await bench.settle(*grant.leased)
    del bench.leased[grant.leased[0].fence]
    now = int(await bench.of_upstream("price_us:rpm") or 0)
    pace = round(price_us / now, 3)
    assert now == math.ceil(price_us / pace)
    assert float(await bench.of_upstream("pace") or 0) == pace
    return pace


async def refuse_one(bench: Bench, fault: str = "rate") -> None:
    """A call is leased and refused at the same moment, and not made again."""
    bench.advance(SECOND_US)
    [request_id] = await bench.submit()
    await bench.retry(*await bench.take(), fault=fault)
    await bench.cancel(request_id)


async def test_many_calls_that_are_refused_together_are_one_episode(bench: Bench) -> None:
    await bench.submit("ann", 12)
    first, *others = await bench.take(10)  # their slots fill the horizon
    bench.advance(5_000)
    await bench.retry(first, fault="rate")
    assert await bench.of_upstream("pace") == "0.8"
    bench.advance(145_000)
    await bench.retry(*others, fault="rate")
    assert [await bench.of_upstream(field) for field in ("peak", "decreased_us")] == ["1", str(START_US + 5_000)]
    [again] = await bench.take()
    bench.advance(12_500)
    await bench.retry(again, fault="rate")  # nothing was answered since
    assert await bench.of_upstream("decreased_us") == str(START_US + 5_000)


async def test_an_answer_ends_the_episode_and_the_next_refusal_begins_another(bench: Bench) -> None:
    await bench.submit("ann", 4)
    [first] = await bench.take()
    bench.advance(5_000)
    await bench.retry(first, fault="rate")
    bench.advance(145_000)
    [good] = await bench.take()
    await bench.settle(good)
    [later] = await bench.take()
    bench.advance(1_000)
    await bench.retry(later, fault="rate")
    assert await bench.of_upstream("decreased_us") == str(bench.now_us)
    assert await bench.of_upstream("peak") == "0.804"


async def test_it_comes_back_fast_and_slowly_where_the_refusal_was(bench: Bench) -> None:
    await refuse_one(bench)
    assert await read_pace(bench) == 0.8
    for seconds, pace in ((5, 0.916), (10, 0.975), (15, 0.997), (20, 1.0), (60, 1.0)):
        bench.now_us = START_US + (1 + seconds) * SECOND_US
        assert await read_pace(bench) == pace


async def test_it_goes_on_beyond_where_the_refusal_was(bench: Bench) -> None:
    await bench.redis.hset(bench.keys.upstream("a"), mapping={"decreased_us": START_US, "peak": 0.8})
    for seconds, pace in ((0, 0.64), (10, 0.78), (20, 0.8), (30, 0.82), (40, 0.96), (45, 1.0)):
        bench.now_us = START_US + seconds * SECOND_US
        assert await read_pace(bench) == pace


async def test_growth_begins_at_what_was_really_sent_and_takes_its_time(bench: Bench) -> None:
    price_us = SECOND_US
    await bench.apply(make_policy(rpm=60, deadline_s=LONG_S))
    await bench.submit("ann", 3)
    for _ in range(3):
        await bench.take()
        bench.advance(price_us)
    bench.advance(2 * SECOND_US)  # three calls in five seconds: 0.6 of the rate, and four fifths of that
    await bench.retry(next(iter(bench.leased.values())), fault="ramp", delay_us=3600 * SECOND_US)
    began_us = bench.now_us
    assert await bench.of_upstream("pace") == "0.48"
    for seconds, pace in ((0, 0.48), (450, 0.588), (900, 0.72), (1350, 0.882), (1800, 1.0)):
        bench.now_us = began_us + seconds * SECOND_US
        assert await read_pace(bench, price_us) == pace


async def test_growth_of_what_has_its_whole_rate_begins_there(bench: Bench) -> None:
    """Without a limit of requests nobody can say which part was sent."""
    await bench.apply(make_policy(rpm=None))
    await refuse_one(bench, "ramp")
    assert await bench.of_upstream("ramp_level") == "0.8"


async def test_after_a_breaker_the_rate_begins_at_a_half_and_doubles_every_half_second(bench: Bench) -> None:
    await bench.redis.hset(bench.keys.upstream("a"), "breaker", "open")
    await bench.hold(held=False)
    for seconds, pace in ((0, 0.5), (0.125, 0.595), (0.25, 0.707), (0.375, 0.841), (0.5, 1.0)):
        bench.now_us = START_US + int(seconds * SECOND_US)
        assert await read_pace(bench) == pace


async def test_the_slowest_of_all_reasons_holds_and_never_less_than_a_hundredth(bench: Bench) -> None:
    key = bench.keys.upstream("a")
    await bench.redis.hset(key, mapping={"decreased_us": START_US, "peak": 0.5, "ramp_us": START_US, "ramp_level": 0.3})
    assert await read_pace(bench) == 0.3
    await bench.redis.hset(key, "ramp_level", 0.001)
    assert await read_pace(bench) == 0.01


@pytest.mark.parametrize("dimension", ["rpm", "tpm"])
async def test_debt_is_stretched_and_the_next_slots_are_as_far_apart(bench: Bench, dimension: str) -> None:
    limits: dict[str, Any] = {"rpm": 6000} if dimension == "rpm" else {"rpm": None, "tpm": 60_000}
    await bench.apply(make_policy(upstreams=(make_upstream("a", **limits),)))
    await bench.submit("ann", 20, tokens_in=10)
    first, *_ = await bench.take(5)
    await bench.retry(first, fault="rate")  # what comes back of tokens lies before the last slot and its price
    assert await take_slots(bench) == [62_500, 75_000, 87_500, 100_000]


async def test_a_changed_pace_keeps_the_distance_to_the_last_slot(bench: Bench) -> None:
    await bench.submit("ann", 20)
    first, *_ = await bench.take(5)
    bench.advance(45_000)
    await bench.retry(first, fault="rate")
    assert (await take_slots(bench))[0] == 40_000 + 12_500


async def test_estimates_follow_the_pace(bench: Bench) -> None:
    [before] = await bench.enqueue(bench.order())
    assert before.values == (1, PRICE_US)
    await bench.retry(*await bench.take(), fault="rate")
    [after] = await bench.enqueue(bench.order())
    assert after.values == (1, PRICE_US * 5 // 4)
    await bench.take()
    bench.advance(10 * SECOND_US)
    await refuse_one(bench)
    [later] = await bench.enqueue(bench.order())
    assert float(await bench.of_upstream("pace") or 0) == 0.786
    assert later.values == (1, math.ceil(PRICE_US / 0.786))


async def test_estimates_wait_for_the_end_of_a_pause(bench: Bench) -> None:
    await bench.submit()
    await bench.retry(*await bench.take(), fault="rate", pause_us=3 * SECOND_US)
    [answer] = await bench.enqueue(bench.order())
    assert answer.values == (1, 3 * SECOND_US + PRICE_US * 5 // 4)


async def test_a_clock_that_is_set_back_moves_every_moment(bench: Bench) -> None:
    key, step_us = bench.keys.upstream("a"), 60 * SECOND_US
    await bench.submit()
    await bench.take()
    await bench.redis.hset(key, mapping={moment: START_US + at for at, moment in enumerate(MOMENTS)})
    await bench.redis.hset(key, "decreased_us", 0)
    bench.now_us -= step_us
    await bench.renew("d1", *bench.leased.values())
    moved = [int(moment) - START_US + step_us for moment in await bench.redis.hmget(key, *MOMENTS)]
    assert moved == [0, 1, 2, step_us - START_US, 4, 5, 6, 7, 8]  # what never was stays so
    bench.advance(step_us)
    bench.slots.clear()


async def test_who_is_refused_again_and_again_waits_twice_as_long(bench: Bench) -> None:
    """Others may take what the provider means by its Retry-After."""
    await bench.submit("ann", 8)
    waits = []
    for _ in range(8):
        bench.advance(1)
        while not (grant := await bench.lease(count=1)).leased:
            bench.advance(10_000)
        await bench.retry(*grant.leased, fault="rate", pause_us=1_000)
        waits.append(int(await bench.of_upstream("pause_until_us") or 0) - bench.now_us)
    assert waits == [1_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000, 5_000_000, 5_000_000]
