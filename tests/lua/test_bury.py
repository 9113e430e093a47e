"""bury: a hopeless request becomes a dead letter that can still be read and replayed."""

from support.scripts import SECOND_US, Bench, make_policy


async def test_a_dead_letter_says_why_and_keeps_the_request(bench: Bench) -> None:
    [request_id] = await bench.submit("ann", key="k", body=b"123")
    await bench.retry(*await bench.take(), delay_us=0, note=b'{"attempt":1}')
    bench.advance(SECOND_US)
    [leased] = await bench.take()
    assert await bench.bury(leased, note=b'{"attempt":2}') == ["dead"]
    [letter] = await bench.dead_letters()
    assert letter == {
        "id": request_id, "agent": "ann", "reason": "attempts", "status": "500", "attempts": "2", "error": "broken",
        "history": '{"attempt":1},{"attempt":2}',
    }  # fmt: skip
    request = await bench.redis.hgetall(bench.keys.request(request_id))
    assert request["body"] == "123"
    assert request["place"].startswith("dead ")
    assert await bench.state(request_id) == "dead"
    assert len(await bench.notices()) == 1
    assert (await bench.in_flight(), await bench.counter("dead"), await bench.counter("bytes")) == (0, 1, 0)


async def test_request_and_reply_live_as_long_as_the_letter(bench: Bench) -> None:
    await bench.apply(make_policy(reply_ttl_s=60, dead_ttl_s=7200))
    [request_id] = await bench.submit()
    await bench.bury(*await bench.take())
    for key in (bench.keys.request(request_id), bench.keys.reply(request_id)):
        assert 7_100_000 < await bench.redis.pttl(key) <= 7_200_000
    assert await bench.redis.pttl(bench.keys.inbox("p1")) <= 60_000


async def test_its_key_lives_as_long_as_it_may_be_replayed(bench: Bench) -> None:
    await bench.apply(make_policy(reply_ttl_s=60, dead_ttl_s=7200))
    await bench.submit("ann", key="k")
    await bench.bury(*await bench.take())
    assert 7_100_000 < await bench.redis.pttl(bench.keys.idempotency("ann", "k")) <= 7_200_000


async def test_only_the_holder_may_and_only_once(bench: Bench) -> None:
    await bench.submit("ann", 3)
    first, second, third = await bench.take(3)
    await bench.cancel(second.id)
    assert await bench.bury(first._replace(fence="0-1"), second) == ["lost", "lost"]
    assert await bench.state(first.id) == "run"
    assert await bench.in_flight() == 2
    assert await bench.bury(third) == ["dead"]
    assert await bench.bury(third) == ["lost"]
    assert await bench.in_flight() == 1


async def test_a_dead_request_stays_dead(bench: Bench) -> None:
    [request_id] = await bench.submit()
    leased = await bench.take()
    await bench.bury(*leased)
    assert await bench.cancel(request_id) == ["dead"]
    assert await bench.settle(*leased) == ["late"]
    assert await bench.retry(*leased) == ["lost"]
    [answer] = await bench.enqueue(bench.order(id=request_id))
    assert answer.kind == "final"
    assert await bench.state(request_id) == "dead"


async def test_old_letters_end_with_a_new_one(bench: Bench) -> None:
    await bench.redis.xadd(bench.keys.fixed("dead"), {"reason": "old"}, id="1000-0")
    await bench.submit()
    await bench.bury(*await bench.take())
    assert [letter["reason"] for letter in await bench.dead_letters()] == ["attempts"]
