"""relay: pieces go to who waits, in one entry for each producer, and never more than it may have unread."""

from collections.abc import AsyncIterator

import pytest

from sluicegate_worker.rows import Leased, RelayRow, RenewRow, SettleRow
from support.scripts import Bench

HEAD = b'{"status":200,"headers":{}}\n'


async def take_streamed(bench: Bench, count: int = 1, *, alive: bool = True) -> list[Leased]:
    await bench.submit(count=count)
    if alive:
        await bench.redis.set(bench.keys.alive("p1"), 1, px=10_000)
    return await bench.take(count)


async def relay(bench: Bench, *rows: tuple[Leased, str, bytes], producer: str = "p1") -> list[str]:
    each = [RelayRow(one.fence, one.id, producer, at, piece) for one, at, piece in rows]
    return [word.decode() for word in await bench.run("relay", (), each)]


async def cut(bench: Bench, leased: Leased, usage: str) -> list[bytes]:
    rows = [SettleRow(leased.fence, leased.id, leased.upstream, b"", usage, "")]
    words: list[bytes] = await bench.run("settle", (), rows)
    return words


@pytest.fixture(autouse=True)
async def _nobody_lives_on(bench: Bench) -> AsyncIterator[None]:
    yield
    await bench.redis.delete(bench.keys.alive("p1"))


async def test_pieces_of_a_call_are_one_entry_of_the_inbox(bench: Bench) -> None:
    one, two = await take_streamed(bench, 2)
    assert await relay(bench, (one, "1:0", HEAD + b"a"), (two, "1:0", HEAD), (one, "1:1", b"b")) == ["passed"] * 3
    [notice] = await bench.notices()
    assert notice == {f"{one.id}:1:0": (HEAD + b"a").decode(), f"{two.id}:1:0": HEAD.decode(), f"{one.id}:1:1": "b"}
    assert 50_000 < await bench.redis.pttl(bench.keys.inbox("p1")) <= 60_000


async def test_who_only_asks_adds_nothing(bench: Bench) -> None:
    [leased] = await take_streamed(bench)
    assert await relay(bench, (leased, "1:0", b"")) == ["passed"]
    assert await bench.notices() == []


async def test_a_longer_life_of_the_inbox_stays(bench: Bench) -> None:
    [leased, other] = await take_streamed(bench, 2)
    await bench.settle(other)
    await relay(bench, (leased, "1:0", HEAD))
    assert await bench.redis.pttl(bench.keys.inbox("p1")) > 3_500_000


async def test_who_reads_nothing_gets_no_more(bench: Bench) -> None:
    [leased] = await take_streamed(bench)
    words = [word for _ in range(130) for word in await relay(bench, (leased, "1:0", HEAD))]
    assert words == ["passed"] * 128 + ["full"] * 2
    await bench.redis.xtrim(bench.keys.inbox("p1"), maxlen=100, approximate=False)
    assert await relay(bench, (leased, "1:0", HEAD)) == ["passed"]


async def test_where_the_producer_is_gone_nobody_waits(bench: Bench) -> None:
    [leased] = await take_streamed(bench, alive=False)
    assert await relay(bench, (leased, "1:0", HEAD)) == ["gone"]
    await bench.watch(leased.id, producer="p2")  # somebody else wants the answer, as a whole
    assert await relay(bench, (leased, "1:0", HEAD)) == ["mute"]
    assert await bench.notices() == []


async def test_pieces_go_to_who_waits_and_nobody_else(bench: Bench) -> None:
    [leased] = await take_streamed(bench)
    assert await relay(bench, (leased, "1:0", HEAD), producer="p2") == ["mute"]
    assert await bench.redis.exists(bench.keys.inbox("p2")) == 0


async def test_a_replayed_request_has_nobody_who_waits_for_pieces(bench: Bench) -> None:
    [leased] = await take_streamed(bench)
    await bench.bury(leased)
    await bench.replay(leased.id)
    [again] = await bench.take()
    assert await relay(bench, (again, "1:0", HEAD)) == ["mute"]


@pytest.mark.parametrize("ending", ["cancelled", "settled", "taken over"])
async def test_what_has_ended_for_this_dispatcher_is_ended(bench: Bench, ending: str) -> None:
    [leased] = await take_streamed(bench)
    if ending == "cancelled":
        await bench.cancel(leased.id)
    elif ending == "settled":
        await bench.settle(leased)
    else:
        await bench.retry(leased, delay_us=0, used=0)
        await bench.take()
    assert await relay(bench, (leased, "1:0", HEAD)) == ["ended"]


async def test_a_cut_call_is_settled_by_what_it_used(bench: Bench) -> None:
    [leased] = await take_streamed(bench)
    await bench.cancel(leased.id)
    row = RenewRow(leased.fence, leased.id, leased.upstream, streamed=1)
    assert await bench.run("renew", ("d1", 0), [row]) == [bench.now_us, leased.fence.encode(), b"ended"]
    assert await bench.in_flight() == 1  # what it used is still to be told
    assert await cut(bench, leased, usage="5 7 5 7") == [b"cut"]
    assert (await bench.in_flight(), await bench.counter("late"), await bench.counter("cancelled")) == (0, 0, 1)


async def test_a_call_that_is_cut_for_want_of_listeners_ends_its_request_as_cancelled(bench: Bench) -> None:
    [leased] = await take_streamed(bench, alive=False)
    assert await cut(bench, leased, usage="5 7 5 7") == [b"cut"]
    assert await bench.state(leased.id) == "cancelled"
    assert (await bench.in_flight(), await bench.counter("cancelled")) == (0, 1)


async def test_a_cut_call_says_nothing_of_its_model_or_its_upstream(bench: Bench) -> None:
    one, two = await take_streamed(bench, 2, alive=False)
    await cut(bench, one, usage="5 7 5 7")
    assert await bench.redis.hexists(bench.keys.fixed("sched"), "model:m") == 0
    assert await count_good(bench) == 0
    await bench.settle(two, usage="5 7 5 7")
    assert await bench.redis.hexists(bench.keys.fixed("sched"), "model:m") == 1
    assert await count_good(bench) == 1


async def count_good(bench: Bench) -> int:
    fields: dict[str, str] = await bench.redis.hgetall(bench.keys.upstream("a"))
    return sum(int(cell.split()[4]) for name, cell in fields.items() if name.startswith("cell:"))


async def test_who_cuts_what_another_has_meanwhile_ends_nothing(bench: Bench) -> None:
    [leased] = await take_streamed(bench)
    await bench.retry(leased, delay_us=0, used=0)
    [again] = await bench.take()
    assert await cut(bench, leased, usage="") == [b"cut"]
    assert await bench.in_flight() == 1
    assert await bench.settle(again) == ["ok"]
