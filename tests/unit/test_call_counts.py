"""Calls of the last minute from cells of five seconds."""

from sluicegate_worker.observe.calls import CELL_US, count_calls

NUMBER = 1_000_000


def at(passed_us: int) -> int:
    return NUMBER * CELL_US + passed_us


def cell(age: int, calls: int, refusals: int = 0) -> bytes:
    return f"{NUMBER - age} {calls} {refusals} {calls * 10} 0 0".encode()


def test_nothing_is_zero() -> None:
    assert count_calls([], at(0)) == (0, 0, 0, 0)


def test_a_minute_takes_the_oldest_cell_in_part() -> None:
    cells = [cell(age, 100, 10) for age in range(13)]
    assert count_calls(cells, at(0))[:2] == (1_300, 130)
    assert count_calls(cells, at(4_000_000))[:2] == (1_220, 122)
    assert count_calls(cells, at(4_000_000)).tpm == 12_200


def test_what_is_older_or_newer_or_no_cell_does_not_count() -> None:
    assert count_calls([cell(13, 100), cell(-1, 100), b"nonsense", b""], at(0)) == (0, 0, 0, 0)


def test_the_rate_is_that_of_the_last_seconds_where_these_tell_enough() -> None:
    cells = [cell(0, 40), cell(1, 100), cell(2, 1)]
    assert count_calls(cells, at(2_000_000)).rpm == 140 * 60 / 7


def test_a_slow_rate_is_that_of_the_minute() -> None:
    assert count_calls([cell(0, 1), cell(4, 1), cell(8, 1)], at(2_000_000)).rpm == 3
