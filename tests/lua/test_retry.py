"""retry: a failed call waits out its delay; only its holder may send it there."""

import msgspec

from support.scripts import SECOND_US, START_US, Bench


async def test_it_moves_from_run_to_the_delayed_stream(bench: Bench) -> None:
    [request_id] = await bench.submit("ann")
    [leased] = await bench.take()
    assert await bench.retry(leased, delay_us=3 * SECOND_US) == ["delayed"]
    [(entry, fields)] = await bench.redis.xrange(bench.keys.fixed("retry"))
    due_us = START_US + 3 * SECOND_US
    assert fields == {"id": request_id, "agent": "ann", "kind": "retry", "due_us": str(due_us)}
    assert await bench.redis.zscore(bench.keys.fixed("due"), request_id) == due_us
    assert await bench.redis.zscore(bench.keys.fixed("expiry"), request_id) == leased.deadline_us
    assert await bench.redis.hget(bench.keys.request(request_id), "place") == f"retry {entry}"
    assert await bench.redis.xlen(bench.keys.fixed("run")) == 0
    assert (await bench.in_flight(), await bench.counter("retries")) == (0, 1)


async def test_only_the_holder_may(bench: Bench) -> None:
    await bench.submit("ann", 2)
    first, second = await bench.take(2)
    await bench.settle(second)
    assert await bench.retry(first._replace(fence="0-1"), second) == ["lost", "lost"]
    assert await bench.state(first.id) == "run"
    assert await bench.redis.exists(bench.keys.request(second.id)) == 0
    assert await bench.in_flight() == 1


async def test_called_twice_it_counts_once(bench: Bench) -> None:
    await bench.submit("ann", 2)
    first, _ = await bench.take(2)
    assert await bench.retry(first) == ["delayed"]
    assert await bench.retry(first) == ["lost"]
    assert await bench.in_flight() == 1
    assert await bench.redis.hget(bench.keys.request(first.id), "attempts") == "1"
    assert await bench.redis.xlen(bench.keys.fixed("retry")) == 1


async def test_attempts_count_only_when_used(bench: Bench) -> None:
    await bench.submit()
    for used, attempts in ((0, 0), (1, 1), (0, 1), (1, 2)):
        [leased] = await bench.take()
        await bench.retry(leased, delay_us=0, used=used)
        assert int(await bench.redis.hget(bench.keys.request(leased.id), "attempts") or 0) == attempts
        bench.advance(SECOND_US)
    [leased] = await bench.take()
    assert (leased.attempts, leased.sends) == (2, 5)


async def test_a_pause_only_moves_later(bench: Bench) -> None:
    await bench.submit("ann", 4)
    leased = await bench.take(4)
    pauses = [(5, "rate"), (2, "overload"), (9, "ramp"), (0, "")]
    found = []
    for one, (pause_s, reason) in zip(leased, pauses, strict=True):
        await bench.retry(one, pause_us=pause_s * SECOND_US, fault=reason)
        until_us, why = await bench.redis.hmget(bench.keys.upstream("a"), "pause_until_us", "pause_reason")
        found.append(((int(until_us or 0) - START_US) // SECOND_US, why))
    assert found == [(5, "rate"), (5, "rate"), (9, "ramp"), (9, "ramp")]


async def test_the_news_of_a_pause_counts_even_from_who_lost_the_request(bench: Bench) -> None:
    await bench.submit()
    [leased] = await bench.take()
    await bench.cancel(leased.id)
    assert await bench.retry(leased, pause_us=SECOND_US, fault="rate") == ["lost"]
    assert await bench.of_upstream("pause_until_us") == str(START_US + SECOND_US)
    assert await bench.in_flight() == 0
    # Nothing is left of the call by now, and the news is as good.
    assert await bench.retry(leased, pause_us=2 * SECOND_US, fault="rate") == ["lost"]
    assert await bench.of_upstream("pause_until_us") == str(START_US + 2 * SECOND_US)


async def test_past_its_deadline_it_ends_as_expired(bench: Bench) -> None:
    [request_id] = await bench.submit(deadline_us=SECOND_US)
    [leased] = await bench.take()
    bench.advance(SECOND_US)
    assert await bench.retry(leased) == ["expired"]
    head = await bench.outcome(request_id)
    assert head is not None
    assert (head.state, head.attempts, head.queued_s) == ("expired", 1, 1.0)
    assert await bench.in_flight() == 0
    assert len(await bench.notices()) == 1


async def test_who_waited_in_vain_is_told_what_the_last_call_came_to(bench: Bench) -> None:
    [called] = await bench.submit(deadline_us=2 * SECOND_US)
    [never_called] = await bench.submit(deadline_us=2 * SECOND_US)
    errors = ["429 slow", '503 "quoted" 100% \u00e4\n']
    for error in errors:
        [leased] = await bench.take()
        await bench.retry(leased, delay_us=0, note=msgspec.json.encode({"attempt": 1, "error": error}))
    bench.advance(2 * SECOND_US)
    assert (await bench.lease()).expired == 2
    heads = [await bench.outcome(one) for one in (called, never_called)]
    assert [(head.state, head.error) for head in heads if head] == [("expired", errors[-1]), ("expired", None)]


async def test_a_delay_beyond_the_deadline_ends_at_the_deadline(bench: Bench) -> None:
    [request_id] = await bench.submit(deadline_us=2 * SECOND_US)
    await bench.retry(*await bench.take(), delay_us=60 * SECOND_US)
    bench.advance(2 * SECOND_US)
    assert (await bench.lease()).expired == 1
    assert await bench.state(request_id) == "expired"
    assert await bench.redis.exists(bench.keys.fixed("retry"), bench.keys.fixed("due")) == 0


async def test_the_history_is_a_list_of_notes_that_stays_bounded(bench: Bench) -> None:
    await bench.submit()
    for number in range(12):
        [leased] = await bench.take()
        await bench.retry(leased, delay_us=0, used=0, note=msgspec.json.encode({"attempt": number, "error": "x" * 900}))
        bench.advance(SECOND_US)
        history = await bench.redis.hget(bench.keys.request(leased.id), "history")
        notes = msgspec.json.decode(f"[{history}]")
        assert notes[-1]["attempt"] == number
        assert len(str(history)) <= 8192


async def test_429s_and_calls_are_counted_per_minute(bench: Bench) -> None:
    await bench.submit("ann", 3)
    leased = await bench.take(3)
    await bench.retry(leased[0], fault="rate")
    await bench.retry(leased[1], fault="overload")
    cells = await bench.redis.hgetall(bench.keys.upstream("a"))
    [cell] = [value for name, value in cells.items() if name.startswith("cell:")]
    assert cell.split()[1:] == ["3", "1", "0", "0", "1"]  # calls, 429s, tokens, good, failed


async def test_somebody_is_woken_for_what_is_due(bench: Bench) -> None:
    await bench.submit()
    leased = await bench.take()
    await bench.redis.delete(bench.keys.fixed("wake"))
    await bench.retry(*leased)
    assert await bench.redis.llen(bench.keys.fixed("wake")) == 1
