"""drop: a dead letter goes for good, with its request; its reply ends as others do."""

from support.scripts import SECOND_US, Bench, make_policy


async def die(bench: Bench) -> tuple[str, str]:
    """The letter's entry and the request's id."""
    [request_id] = await bench.submit()
    await bench.bury(*await bench.take())
    return await find_entry(bench, request_id), request_id


async def find_entry(bench: Bench, request_id: str) -> str:
    letters = await bench.redis.xrange(bench.keys.fixed("dead"))
    entry: str = next(entry for entry, fields in letters if fields["id"] == request_id)
    return entry


async def test_letter_and_request_go_and_the_reply_ends_sooner(bench: Bench) -> None:
    await bench.apply(make_policy(reply_ttl_s=60, dead_ttl_s=7200))
    row = await die(bench)
    assert await bench.drop(row, row) == ["dropped", "gone"]
    assert await bench.redis.exists(bench.keys.fixed("dead"), bench.keys.request(row[1])) == 0
    assert 0 < await bench.redis.pttl(bench.keys.reply(row[1])) <= 60_000
    assert await bench.state(row[1]) == "dead"
    assert await bench.drop(row) == ["gone"]
    audit = await bench.redis.xrange(bench.keys.fixed("audit"))
    assert [fields for _, fields in audit if fields["what"] == "drop"] == [
        {"who": "test", "what": "drop", "count": "1"}
    ]


async def test_a_reply_that_ends_sooner_is_not_prolonged(bench: Bench) -> None:
    row = await die(bench)
    await bench.redis.pexpire(bench.keys.reply(row[1]), 5000)
    await bench.drop(row)
    assert await bench.redis.pttl(bench.keys.reply(row[1])) <= 5000


async def test_one_of_many_leaves_the_others(bench: Bench) -> None:
    first, second = await die(bench), await die(bench)
    assert await bench.drop(first, ("1-1", "nobody"), ("1-2", "")) == ["dropped", "gone", "gone"]
    assert [letter["id"] for letter in await bench.dead_letters()] == [second[1]]
    assert await bench.replay(first[1], second[1]) == ["gone", "replayed"]


async def test_what_names_no_request_goes_too(bench: Bench) -> None:
    entry = await bench.redis.xadd(bench.keys.fixed("dead"), {"id": "", "reason": "undecodable"})
    assert await bench.drop((entry, "")) == ["dropped"]
    assert await bench.redis.exists(bench.keys.fixed("dead")) == 0


async def test_an_old_letter_does_not_take_a_replayed_request_along(bench: Bench) -> None:
    entry, request_id = await die(bench)
    await bench.replay(request_id)
    assert await bench.drop((entry, request_id)) == ["gone"]
    assert await bench.state(request_id) == "backlog"
    bench.advance(SECOND_US)
    await bench.bury(*await bench.take())
    assert await bench.drop((entry, request_id)) == ["gone"]
    assert await bench.redis.exists(bench.keys.request(request_id)) == 1


async def test_a_request_outlives_its_letter_no_longer_than_the_drop(bench: Bench) -> None:
    entry, request_id = await die(bench)
    await bench.redis.xdel(bench.keys.fixed("dead"), entry)
    assert await bench.drop((entry, request_id)) == ["dropped"]
    assert await bench.redis.exists(bench.keys.request(request_id)) == 0
