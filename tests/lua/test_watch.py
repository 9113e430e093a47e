"""watch: the outcome, or the state and a place among those who are rung."""

import pytest

from support.scripts import SECOND_US, Bench


async def test_it_tells_the_state_of_what_is_not_answered(bench: Bench) -> None:
    await bench.submit("ann", 3)
    first, second = await bench.take(2)
    await bench.retry(second)
    assert await bench.watch(first.id, second.id, "r3", "nobody") == [
        [b"in_flight"],
        [b"delayed"],
        [b"waiting"],
        [b"unknown"],
    ]


async def test_it_gives_the_outcome_itself(bench: Bench) -> None:
    await bench.submit("ann", 2)
    first, second = await bench.take(2)
    await bench.settle(first, body=b"[1]")
    await bench.bury(second)
    assert await bench.watch(first.id, second.id) == [
        [b"final", bench.reply(first, body=b"[1]")],
        [b"final", bench.reply(second, "dead")],
    ]


async def test_who_watches_is_rung_once(bench: Bench) -> None:
    [request_id] = await bench.submit()
    for producer in ("p2", "p2", "p1", ""):
        await bench.watch(request_id, producer=producer)
    assert await bench.redis.hget(bench.keys.request(request_id), "watchers") == "p1 p2"
    await bench.settle(*await bench.take())
    assert [len(await bench.notices(producer)) for producer in ("p1", "p2")] == [1, 1]


async def test_no_more_than_a_hundred_watch_one_request(bench: Bench) -> None:
    [request_id] = await bench.submit()
    for number in range(105):
        await bench.watch(request_id, producer=f"q{number}")
    assert len(str(await bench.redis.hget(bench.keys.request(request_id), "watchers")).split()) == 100


@pytest.mark.parametrize("delayed", [False, True])
async def test_past_its_deadline_it_is_answered_without_any_dispatcher(bench: Bench, delayed: bool) -> None:
    [request_id] = await bench.submit(deadline_us=SECOND_US, not_before_us=500_000 if delayed else 0)
    bench.advance(SECOND_US - 1)
    assert await bench.watch(request_id) == [[b"delayed" if delayed else b"waiting"]]
    bench.advance(1)
    [[state, reply]] = await bench.watch(request_id)
    assert state == b"final"
    assert b'"state":"expired"' in reply
    assert len(await bench.notices()) == 1
    assert await bench.counter("waiting") == 0


async def test_a_call_in_flight_is_left_to_its_holder(bench: Bench) -> None:
    [request_id] = await bench.submit(deadline_us=SECOND_US)
    await bench.take()
    bench.advance(2 * SECOND_US)
    assert await bench.watch(request_id) == [[b"in_flight"]]
