"""Traces are read as recorded, bad ones are refused by line, and each row becomes a request of its size."""

import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from sluicegate_worker.demo.traces import TraceError, TraceRow, read_trace
from sluicegate_worker.demo.traffic import assign_rows, draw_arrivals, name_agents, write_body
from support.generated_trace import write_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.csv"


def test_offsets_count_from_the_first_row_and_shrink_with_speed(path: Path) -> None:
    path.write_text(
        HEADER + "2023-11-16 23:59:59.0000000,10,1\n2023-11-17 00:00:01.5000000,20,2\n\n2023-11-17 00:00:29,30,3\n"
    )
    assert read_trace(path) == [TraceRow(0, 0.0, 10, 1), TraceRow(1, 2.5, 20, 2), TraceRow(2, 30.0, 30, 3)]
    assert [row.offset_s for row in read_trace(path, speed=5)] == [0.0, 0.5, 6.0]


def test_rows_out_of_order_are_sorted_and_keep_their_numbers(path: Path) -> None:
    path.write_text(HEADER + "2023-11-16 10:00:02,1,1\n2023-11-16 10:00:00,2,2\n")
    assert read_trace(path) == [TraceRow(1, 0.0, 2, 2), TraceRow(0, 2.0, 1, 1)]


def test_columns_are_found_by_name_and_zones_compared(path: Path) -> None:
    path.write_text(
        "GeneratedTokens,TIMESTAMP,Model,ContextTokens\r\n"
        "7,2024-05-10 00:00:00+00:00,x,8\r\n9,2024-05-10T01:00:03+01:00,x,1\r\n"
    )
    assert read_trace(path) == [TraceRow(0, 0.0, 8, 7), TraceRow(1, 3.0, 1, 9)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: the header has no TIMESTAMP"),
        ("TIMESTAMP,ContextTokens\n2023-11-16 10:00:00,1\n", "line 1: the header has no GeneratedTokens"),
        (HEADER, "no rows"),
        (HEADER + "2023-11-16 10:00:00,1,1\nyesterday,1,1\n", "line 3: TIMESTAMP must look like .* not 'yesterday'"),
        (HEADER + "2023-11-16 10:00:00,1\n", "line 2: fewer fields"),
        (
            HEADER + "2023-11-16 10:00:00,-1,1\n",
            "line 2: ContextTokens must be a whole number up to 10000000, not '-1'",
        ),
        (HEADER + "2023-11-16 10:00:00,1,1.5\n", "line 2: GeneratedTokens must be a whole number"),
        (HEADER + "2023-11-16 10:00:00,1,10000001\n", "line 2: GeneratedTokens must be a whole number"),
        (HEADER + "2023-11-16 10:00:00,²,1\n", "line 2: ContextTokens must be a whole number"),
        (HEADER + f"2023-11-16 10:00:00,{'1' * 200_000},1\n", "after line 1: field larger"),
    ],
)
def test_a_bad_trace_is_one_sentence_with_its_line(path: Path, text: str, complaint: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TraceError, match=complaint) as caught:
        read_trace(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="No such file"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(TraceError, match="Is a directory"):
        read_trace(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(TraceError, match=re.escape("not UTF-8")):
        read_trace(tmp_path / "binary")


def test_a_generated_trace_reads_back(path: Path) -> None:
    write_trace(path, rows=50, duration_s=20, burst=10)
    offsets = [row.offset_s for row in read_trace(path)]
    assert len(offsets) == 50
    assert offsets.count(10.0) == 11
    assert offsets[-1] == 19.5


def test_rows_are_dealt_to_the_agents_in_turn() -> None:
    agents = name_agents(agents=3, hogs=0).everyone
    rows = [TraceRow(3, 0.0, 5, 6), TraceRow(1, 1.0, 7, 8)]
    arrivals = list(assign_rows(rows, agents))
    assert [arrival.agent for arrival in arrivals] == [agents[0], agents[1]]
    assert arrivals[1][2:] == (7, 8)


def test_a_body_is_json_of_so_many_words() -> None:
    body = msgspec.json.decode(write_body('odd "name"', 4_808, 10))
    assert (body["model"], body["max_tokens"]) == ('odd "name"', 10)
    assert len(body["messages"][0]["content"].split()) == 4_808
    nothing = msgspec.json.decode(write_body("m", 0, 0))
    assert (nothing["max_tokens"], nothing["messages"][0]["content"]) == (1, "")


def test_arrivals_come_at_the_rate_and_in_the_shares_asked_for() -> None:
    hogs, others = name_agents(agents=10, hogs=1)
    assert (len(hogs), len(others)) == (1, 9)
    arrivals = list(draw_arrivals([*hogs, *others], [9.0] + [1.0] * 9, rate_per_s=100, duration_s=100, seed=1))
    assert 9_700 < len(arrivals) < 10_300
    assert all(earlier.offset_s < later.offset_s for earlier, later in pairwise(arrivals))
    assert 0.48 < sum(arrival.agent.group == "hogs" for arrival in arrivals) / len(arrivals) < 0.52
    assert {arrival.agent for arrival in arrivals} == {*hogs, *others}
    assert arrivals == list(draw_arrivals([*hogs, *others], [9.0] + [1.0] * 9, 100, 100, seed=1))
    assert arrivals != list(draw_arrivals([*hogs, *others], [9.0] + [1.0] * 9, 100, 100, seed=2))


def test_nobody_asks_nothing() -> None:
    assert list(draw_arrivals([], [], 10, 10, seed=1)) == []
    assert list(draw_arrivals(name_agents(2, 0).others, [1.0, 1.0], 0, 10, seed=1)) == []
