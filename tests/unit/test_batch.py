"""Calls of the same moment share a round trip, in order, and each gets its own answer."""

import asyncio
from typing import Any

import pytest

from sluicegate.batch import Batcher

Row = tuple[int] | tuple[int, bytes]


class Calls:
    """A `call` that records its batches and answers each row with its double, once `gate` is open."""

    def __init__(self) -> None:
        self.batches: list[list[Row]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.batcher: Batcher[Row] = Batcher("test", self, lambda row: len(row[1]) if len(row) > 1 else 0)
        self.started = asyncio.Event()

    async def __call__(self, rows: list[Row]) -> list[Any]:
        self.batches.append(rows)
        self.started.set()
        await self.gate.wait()
        if any(row[0] < 0 for row in rows):
            raise ValueError("a bad batch")
        return [row[0] * 2 for row in rows]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


async def test_what_is_sent_in_one_moment_goes_together() -> None:
    calls = Calls()
    assert await asyncio.gather(*(calls.batcher.send((n,)) for n in range(5))) == [0, 2, 4, 6, 8]
    assert calls.batches == [[(0,), (1,), (2,), (3,), (4,)]]


async def test_a_lone_call_waits_for_nobody() -> None:
    calls = Calls()
    assert await calls.batcher.send((1,)) == 2
    assert await calls.batcher.send((2,)) == 4
    assert calls.sizes == [1, 1]


async def test_what_comes_while_a_call_is_under_way_goes_with_the_next() -> None:
    calls = Calls()
    calls.gate.clear()
    first = calls.batcher.send((1,))
    await calls.started.wait()
    others = [calls.batcher.send((n,)) for n in (2, 3)]
    calls.gate.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6]
    assert calls.batches == [[(1,)], [(2,), (3,)]]


async def test_a_call_carries_100_rows_and_a_megabyte_at_most() -> None:
    calls = Calls()
    await asyncio.gather(*(calls.batcher.send((n,)) for n in range(250)))
    assert calls.sizes == [100, 100, 50]
    calls = Calls()
    await asyncio.gather(*(calls.batcher.send((n, b"x" * 300_000)) for n in range(7)))
    assert calls.sizes == [3, 3, 1]


async def test_what_is_larger_than_a_megabyte_goes_alone() -> None:
    calls = Calls()
    sizes = [10, 3_000_000, 10, 3_000_000, 3_000_000]
    await asyncio.gather(*(calls.batcher.send((n, b"x" * size)) for n, size in enumerate(sizes)))
    assert [[row[0] for row in batch] for batch in calls.batches] == [[0], [1], [2], [3], [4]]


async def test_an_error_is_everybodys_in_the_call_and_nobody_elses() -> None:
    calls = Calls()
    calls.gate.clear()
    bad = [calls.batcher.send((n,)) for n in (1, -1)]
    await calls.started.wait()
    good = calls.batcher.send((5,))
    calls.gate.set()
    for future in bad:
        with pytest.raises(ValueError, match="a bad batch"):
            await future
    assert await good == 10


async def test_who_does_not_wait_any_more_disturbs_nobody() -> None:
    calls = Calls()
    calls.gate.clear()
    first, second = calls.batcher.send((1,)), calls.batcher.send((2,))
    await calls.started.wait()
    first.cancel()
    calls.gate.set()
    assert await second == 4
    assert await calls.batcher.send((3,)) == 6


async def test_what_is_withdrawn_in_time_is_never_sent() -> None:
    calls = Calls()
    calls.gate.clear()
    rows: list[Row] = [(1,), (2,), (3,)]
    first = calls.batcher.send(rows[0])
    await calls.started.wait()
    calls.batcher.send(rows[1]).cancel()
    third = calls.batcher.send(rows[2])
    assert await calls.batcher.withdraw(rows[1]) is None
    calls.gate.set()
    assert (await first, await third) == (2, 6)
    assert calls.batches == [[(1,)], [(3,)]]


async def test_what_is_withdrawn_too_late_has_its_answer() -> None:
    calls = Calls()
    calls.gate.clear()
    rows: list[Row] = [(1,), (2,), (3,)]
    futures = [calls.batcher.send(row) for row in rows]
    await calls.started.wait()
    futures[1].cancel()
    withdrawing = asyncio.create_task(calls.batcher.withdraw(rows[1]))
    calls.gate.set()
    assert await withdrawing == 4
    assert await calls.batcher.withdraw(rows[1]) is None  # nothing is under way any more


async def test_what_is_withdrawn_from_a_call_that_fails_has_no_answer() -> None:
    calls = Calls()
    calls.gate.clear()
    rows: list[Row] = [(1,), (-1,)]
    futures = [calls.batcher.send(row) for row in rows]
    await calls.started.wait()
    futures[0].cancel()
    withdrawing = asyncio.create_task(calls.batcher.withdraw(rows[0]))
    calls.gate.set()
    assert await withdrawing is None
    with pytest.raises(ValueError, match="a bad batch"):
        await futures[1]


async def test_closing_waits_for_what_was_sent() -> None:
    calls = Calls()
    await calls.batcher.close()
    futures = [calls.batcher.send((n,)) for n in range(250)]
    await calls.batcher.close()
    assert all(future.done() for future in futures)
    assert calls.sizes == [100, 100, 50]


async def test_an_answer_for_each_row_or_an_error_for_all() -> None:
    async def forgetful(rows: list[Row]) -> list[Any]:
        return [1] * (len(rows) - 1)

    batcher: Batcher[Row] = Batcher("forgetful", forgetful)
    async with asyncio.timeout(5):
        results = await asyncio.gather(batcher.send((1,)), batcher.send((2,)), return_exceptions=True)
    assert any(isinstance(result, Exception) for result in results)
