"""`sluicegate demo` as people run it: a process that starts everything, answers everything and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.waiting import wait_until_sync

pytestmark = pytest.mark.alone

SLUICEGATE = [sys.executable, "-m", "sluicegate_worker"]
SMALL = ["--agents", "12", "--hogs", "3", "--rpm", "3000", "--duration", "2", "--fail-rate", "0.05"]
FIELDS = {
    "schema", "duration_s", "agents", "dispatchers", "limit_rpm", "offered", "accepted", "refused", "ok",
    "ok_by_status", "dead", "expired", "cancelled", "lost", "duplicates", "upstream_calls", "upstream_429", "retries",
    "utilisation",
    "jain", "wait_p50_s", "wait_p99_s", "wait_max_s", "groups", "max_in_1s", "max_in_10s", "max_in_60s", "drain_s",
}  # fmt: skip


def start_demo(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "TMPDIR": str(tmp_path),
        "SLUICEGATE_REDIS_URL": "redis://127.0.0.1:1/0",  # a demo that listened to it would go nowhere
        "SLUICEGATE_POOLS__CHAT__UPSTREAMS__SIMULATOR__RPM": "nonsense",
    }
    return subprocess.Popen(
        [*SLUICEGATE, "demo", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=50)
    finally:
        process.kill()
    return process.returncode, out, err


def list_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def find_dispatchers(pid: int) -> list[int]:
    lines = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in list_children(pid)}
    return [child for child, line in lines.items() if b"dispatch" in line.split(b"\0")]


def test_the_document_says_that_everything_was_answered(tmp_path: Path) -> None:
    code, out, err = finish(start_demo(tmp_path, "--json", *SMALL))
    assert (code, err) == (0, "")
    document: dict[str, Any] = json.loads(out)
    assert document.keys() >= FIELDS
    assert document["schema"] == 1
    assert document["offered"] == document["accepted"] == document["ok"] > 100
    assert document["ok_by_status"] == {"200": document["ok"]}
    for nothing in ("refused", "dead", "expired", "cancelled", "lost", "duplicates", "upstream_429"):
        assert document[nothing] == 0, nothing
    assert document["retries"] > 0
    assert document["upstream_calls"] == document["ok"] + document["retries"]
    assert (document["agents"], document["dispatchers"], document["limit_rpm"]) == (12, 2, 3_000)
    assert document["groups"]["hogs"]["agents"] == 3
    assert document["groups"]["hogs"]["ok"] + document["groups"]["others"]["ok"] == document["ok"]
    assert document["max_in_1s"] <= 51
    assert 0 < document["utilisation"] <= 1.05
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_it_speaks_in_lines(tmp_path: Path) -> None:
    code, out, err = finish(start_demo(tmp_path, *SMALL))
    assert (code, err) == (0, "")
    assert "every one of them answered, 0 lost" in out
    assert "\x1b" not in out


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_stops_everything_and_exits_130(tmp_path: Path, number: signal.Signals) -> None:
    process = start_demo(tmp_path, "--json", "--duration", "600", "--agents", "12", "--hogs", "3")
    wait_until_sync(lambda: any(tmp_path.glob("sluicegate-demo-*/dispatcher-2.out")), "the last part was started")
    children = list_children(process.pid)
    assert len(children) >= 3
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out, err) == (130, "", "")
    # Whom the kernel ends because we have ended is there for a moment longer.
    wait_until_sync(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "the parts are gone")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_dispatcher_that_dies_ends_the_demo_with_its_name(tmp_path: Path) -> None:
    process = start_demo(tmp_path, "--json", "--duration", "600", "--agents", "12", "--hogs", "3")
    wait_until_sync(lambda: any(tmp_path.glob("sluicegate-demo-*/dispatcher-2.out")), "the last part was started")
    wait_until_sync(lambda: find_dispatchers(process.pid), "a dispatcher runs")
    os.kill(find_dispatchers(process.pid)[0], signal.SIGKILL)
    code, out, err = finish(process)
    assert (code, out) == (1, "")
    assert err.startswith("sluicegate: the dispatcher-")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_wrong_numbers_are_refused_before_anything_starts(tmp_path: Path) -> None:
    for arguments in (["--hogs", "13", "--agents", "12"], ["--duration", "nan"], ["--rpm", "0"], ["--fail-rate", "2"]):
        code, out, err = finish(start_demo(tmp_path, *arguments))
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
