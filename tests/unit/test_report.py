"""Every number of the report, against runs small enough to work out by hand."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from sluicegate_worker.demo.measures import (
    count_busiest,
    index_fairness,
    measure_fairness,
    measure_utilisation,
    merge,
    percentile,
)
from sluicegate_worker.demo.records import Call, LogError, Record, State, read_calls, write_records
from sluicegate_worker.demo.report import Report, Run, correct_sends, count_duplicates, make_report

RUN = Run(duration_s=30, drain_s=2, ended_at=132, group_sizes={"hogs": 1, "others": 2}, limit_rpm=60, dispatchers=2)


def record(
    id: str | None, at: float, sent_at: float | None, *, state: State = "ok", agent: str = "a", attempts: int = 1
) -> Record:
    group = "hogs" if agent == "hog" else "others"
    status = 200 if state == "ok" else None
    return Record(agent, group, at, id, state, status, attempts, sent_at, sent_at)


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentile([], 0.5) is None
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert percentile([float(value) for value in range(1, 201)], 0.99) == 198.0


def test_the_busiest_window_may_begin_anywhere_and_excludes_its_end() -> None:
    assert count_busiest([], 1) == 0
    assert count_busiest([0.75, 1.0, 1.25, 1.5, 1.75], 1) == 4
    assert count_busiest([0.0, 1.0, 2.0], 1) == 1
    assert count_busiest([5.0, 0.0, 5.0], 1) == 2


def test_intervals_merge_where_they_overlap_or_touch() -> None:
    assert merge([(5, 6), (1, 2), (2, 3), (0, 1.5), (5.2, 5.5), (9, 9)]) == [(0, 3), (5, 6)]


def test_utilisation_counts_only_while_something_waited() -> None:
    waiting = [(0.0, 2.0), (1.0, 4.0), (10.0, 12.0)]  # 6 s: 60 a minute allow 6 calls
    calls = [0.0, 1.0, 3.9, 4.0, 9.0, 11.0, 12.0]  # of which 0, 1, 3.9 and 11 count
    assert measure_utilisation(waiting, calls, limit_rpm=60) == pytest.approx(4 / 6)
    assert measure_utilisation([(0.0, 0.9)], [0.5], limit_rpm=60) is None
    assert measure_utilisation([], [0.5], limit_rpm=60) is None


def test_jain_is_one_when_equal_and_one_nth_when_one_has_all() -> None:
    assert index_fairness([3, 3, 3]) == 1
    assert index_fairness([4, 0, 0, 0]) == 0.25
    assert index_fairness([1, 3]) == pytest.approx(16 / 20)
    assert index_fairness([0, 0]) == 1


def spread(count: int, start: float, stop: float) -> list[float]:
    return [start + (stop - start) * index / count for index in range(count)]


def test_fairness_is_averaged_over_windows_of_those_that_waited_throughout() -> None:
    waiting = {"a": [(0.0, 25.0)], "b": [(0.0, 20.0)], "brief": [(3.0, 4.0)]}
    charges = {"a": spread(10, 0, 10) + spread(30, 10, 20), "b": spread(20, 0, 20), "brief": spread(99, 3, 4)}
    # [0, 10): 10 and 10. [10, 20): 30 and 10. Later only "a" waits.
    assert measure_fairness(waiting, charges, limit_rpm=600) == pytest.approx((1 + 1600 / 2000) / 2)


def test_fairness_windows_grow_with_the_number_that_waits() -> None:
    # Two agents at 60 a minute: ten charges each take 20 s, in which b's late start is made good.
    waiting = {"a": [(0.0, 20.0)], "b": [(0.0, 20.0)]}
    charges = {"a": spread(10, 0, 10), "b": spread(10, 10, 20)}
    assert measure_fairness(waiting, charges, limit_rpm=60) == 1
    assert measure_fairness(waiting, charges, limit_rpm=None) == pytest.approx(0.5)


def test_fairness_begins_once_two_wait_and_needs_them_throughout() -> None:
    charges = {"a": spread(10, 2, 12), "b": spread(5, 2, 12)}
    assert measure_fairness({"a": [(0.0, 12.5)], "b": [(1.5, 12.5)]}, charges, 600) == pytest.approx(225 / 250)
    assert measure_fairness({"a": [(0.0, 12.5)], "b": [(1.5, 6.0), (6.1, 12.5)]}, charges, 600) is None
    assert measure_fairness({"a": [(0.0, 100.0)]}, charges, 600) is None
    assert measure_fairness({}, {}, 600) is None


def test_a_waiting_agent_that_gets_nothing_counts() -> None:
    waiting = {"a": [(0.0, 10.0)], "b": [(0.0, 10.0)]}
    assert measure_fairness(waiting, {"a": spread(10, 0, 10)}, limit_rpm=600) == pytest.approx(0.5)


def test_only_a_second_success_is_a_duplicate() -> None:
    calls = [
        Call(1, 500, "x"), Call(2, 429, "x"), Call(3, 200, "x"), Call(4, 200, "x"), Call(5, 201, "x"),
        Call(1, 200, "y"), Call(2, 499, "y"), Call(2, None, "y"), Call(1, 200), Call(2, 200),
    ]  # fmt: skip
    assert count_duplicates(calls) == 2
    assert count_duplicates(calls[:3]) == 0


def test_the_log_corrects_the_send_of_what_was_tried_again_or_died() -> None:
    records = [
        record("once", 100, 101.0),
        record("twice", 100, 109.0, attempts=2),
        record("dead", 100, None, state="dead"),
        record("expired", 100, None, state="expired"),
        record(None, 100, None, state="refused"),
    ]
    calls = [Call(101.002, 200, "once"), Call(109, 200, "twice"), Call(103, 500, "twice"), Call(104, 500, "dead"),
             Call(105, 200)]  # fmt: skip
    assert [fixed.sent_at for fixed in correct_sends(records, calls)] == [101.0, 103, 104, None, None]
    assert [fixed.wait_s for fixed in correct_sends(records, [])] == [1.0, 9.0, None, None, None]


def make_small_report(calls: Iterable[Call] | None) -> Report:
    records = [
        record("1", 100, 100.5, agent="hog"),
        record("2", 100, 104.0, agent="hog", attempts=3),
        record("3", 101, 101.25),
        record("4", 102, None, state="dead", agent="b"),
        record("5", 102, None, state="expired"),
        record("6", 102, None, state="cancelled"),
        record("7", 103, None, state="lost"),
        record(None, 90, None, state="refused"),
        record(None, 103, None, state="refused"),
    ]
    records[2].status = 404
    records[4].done_at = records[5].done_at = 102.5
    return make_report(RUN, records, None if calls is None else list(calls))


def test_a_report_without_the_log_counts_what_clients_saw() -> None:
    report = make_small_report(None)
    assert (report.offered, report.accepted, report.refused) == (9, 7, 2)
    assert (report.ok, report.dead, report.expired, report.cancelled, report.lost) == (3, 1, 1, 1, 1)
    assert report.ok_by_status == {"200": 2, "404": 1}
    assert (report.agents, report.dispatchers, report.duration_s, report.drain_s) == (3, 2, 30, 2)
    assert (report.wait_p50_s, report.wait_p99_s, report.wait_max_s) == (0.5, 4.0, 4.0)
    assert (report.groups["hogs"].agents, report.groups["hogs"].ok, report.groups["others"].ok) == (1, 2, 1)
    assert (report.groups["hogs"].wait_p50_s, report.groups["hogs"].wait_p99_s) == (0.5, 4.0)
    assert (report.groups["others"].wait_p50_s, report.groups["others"].wait_p99_s) == (0.25, 0.25)
    assert report.retries == 2
    from_the_log = (report.duplicates, report.upstream_calls, report.upstream_429, report.utilisation)
    assert from_the_log == (None, None, None, None)
    assert (report.max_in_1s, report.max_in_10s, report.max_in_60s) == (None, None, None)


def test_a_report_with_the_log_counts_what_the_provider_saw() -> None:
    report = make_small_report(
        [
            Call(100.5, 200, "1", admitted=True),
            Call(101.0, 429, "2", admitted=False),
            Call(102.0, 500, "2", admitted=True),
            Call(104.0, 200, "2", admitted=True),
            Call(101.5, 404, "3", admitted=True),
            Call(150.0, 200, "3"),
        ]
    )
    assert (report.upstream_calls, report.upstream_429, report.duplicates) == (6, 1, 0)
    # Something waited from 100 to 101.25 and from 102 to 132, the end; 100.5, 102 and 104 were admitted then.
    assert report.utilisation == pytest.approx(3 / 31.25)
    assert (report.max_in_1s, report.max_in_10s, report.max_in_60s) == (2, 5, 6)
    assert report.groups["hogs"].wait_p99_s == 1.0


def test_nothing_offered_is_a_report_too() -> None:
    report = make_report(RUN, [], [])
    assert (report.offered, report.lost, report.wait_max_s, report.jain, report.utilisation) == (0, 0, None, None, None)
    assert (report.max_in_1s, report.upstream_calls) == (0, 0)


def test_the_log_is_read_from_the_start_of_the_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '{"t":99.5,"id":"old","status":200}\n'
        '{"t":100.5,"id":"new","attempt":1,"status":429,"kind":"rate_limited","admitted":false}\n'
        '{"t":101.5,"id":null,"status":200}\n'
        '{"t":102.5,"id":"cut'
    )
    calls = read_calls(log, since=100)
    assert [(call.t, call.id, call.status) for call in calls] == [(100.5, "new", 429), (101.5, None, 200)]
    assert [call.was_admitted for call in calls] == [False, True]


def test_a_bad_log_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="No such file"):
        read_calls(tmp_path / "none", since=0)
    (tmp_path / "log").write_text('{"t":1,"status":200}\nhello\n')
    with pytest.raises(LogError, match="line 2"):
        read_calls(tmp_path / "log", since=0)


def test_records_are_written_one_a_line_with_their_wait(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        write_records(file, [record("1", 100, 100.5), record(None, 103, None, state="refused")])
    first, second = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert (first["id"], first["state"], first["status"], first["wait_s"]) == ("1", "ok", 200, 0.5)
    assert (second["id"], second["state"], second["wait_s"]) == (None, "refused", None)
