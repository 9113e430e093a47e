"""`sluicegate load` against a whole small world: a trace is answered row by row, and what cannot run says why."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluicegate_worker.demo.embedded import find_free_port
from sluicegate_worker.demo.world import World
from support.generated_trace import write_trace


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(rpm=6_000, dispatchers=2, fail_rate=0, seed=1) as running:
        yield running


def run_load(*arguments: str | Path) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLUICEGATE_")}
    done = subprocess.run(
        [sys.executable, "-m", "sluicegate_worker", "load", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_trace_is_answered_row_by_row(world: World, tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.csv", rows=300, duration_s=20, burst=100)
    code, out, err = run_load(
        "--redis-url", world.redis_url, "--trace", tmp_path / "trace.csv", "--speed", "10", "--agents", "7",
        "--provider-log", world.provider_log, "--out", tmp_path / "out.jsonl", "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["offered"] == document["accepted"] == document["ok"] == document["upstream_calls"] == 300
    assert (document["lost"], document["duplicates"], document["upstream_429"], document["retries"]) == (0, 0, 0, 0)
    assert (document["agents"], document["dispatchers"], document["limit_rpm"]) == (7, 2, 6_000)
    assert document["utilisation"] is None or document["utilisation"] > 0
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {record["state"] for record in records} == {"ok"}
    assert len({record["id"] for record in records}) == 300
    rows_each = Counter(record["agent"] for record in records)
    assert sorted(rows_each.values()) == [42, 43, 43, 43, 43, 43, 43]
    calls = {call["id"]: call for call in map(json.loads, world.provider_log.read_text().splitlines())}
    seen = [(calls[record["id"]]["tokens_in"], calls[record["id"]]["tokens_out"]) for record in records]
    assert Counter(seen) == Counter((20 + row % 50, 1 + row % 9) for row in range(300))


def test_random_load_with_hogs_and_without_the_log(world: World) -> None:
    code, out, err = run_load(
        "--redis-url", world.redis_url, "--pool", "chat", "--agents", "5", "--hogs", "1", "--hog-factor", "50",
        "--rate", "60", "--duration", "2", "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["groups"]["hogs"]["ok"] > document["groups"]["others"]["ok"] > 0
    assert document["lost"] == 0
    for from_the_log in ("upstream_calls", "upstream_429", "duplicates", "utilisation", "max_in_1s", "max_in_60s"):
        assert document[from_the_log] is None


def test_what_is_not_accepted_is_refused_and_said(world: World) -> None:
    code, out, err = run_load(
        "--redis-url", world.redis_url, "--rate", "300", "--duration", "2", "--agents", "3", "--deadline", "0.2"
    )
    assert code == 0
    assert " refused" in out
    assert "0 lost" in out
    assert err.startswith("sluicegate: ")
    assert err.count("\n") == 1


def test_bad_input_is_one_sentence_and_the_right_code(world: World, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 10:00:00,many,1\n")
    (tmp_path / "bad.log").write_text("hello\n")
    at_world = ("--redis-url", world.redis_url)
    cases: list[tuple[tuple[str | Path, ...], int, str]] = [
        (("--trace", tmp_path / "bad.csv"), 2, "line 2: ContextTokens"),
        (("--trace", tmp_path / "none.csv"), 2, "does not exist"),
        (("--trace", tmp_path / "bad.csv", "--rate", "3"), 2, "--rate does not go with --trace"),
        (("--speed", "3"), 2, "--speed is that of a --trace"),
        (("--hogs", "300"), 2, "hogs are some of the agents"),
        (("--rate", "nan"), 2, "--rate"),
        (("--pool", "a:b"), 2, "pool must be"),
        (("--out", tmp_path / "none" / "out"), 2, "--out"),
        (("--provider-log", tmp_path / "bad.log"), 2, "line 1"),
        (("--redis-url", f"redis://127.0.0.1:{find_free_port()}/0"), 3, "cannot reach"),
        (("--redis-url", "nonsense"), 2, "nonsense"),
    ]
    for arguments, expected, words in cases:
        code, out, err = run_load(*at_world, *arguments)
        assert (code, out) == (expected, ""), arguments
        assert words in err
        assert err.count("\n") == 1


def test_a_pool_that_does_not_come_up_names_the_cure(world: World) -> None:
    code, out, err = run_load("--redis-url", world.redis_url, "--pool", "other")
    assert (code, out) == (2, "")
    assert "no pool 'other'" in err
    assert "sluicegate pool apply" in err
