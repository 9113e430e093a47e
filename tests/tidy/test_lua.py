"""A Lua file opens with a comment that says what it does, and one include alone asks for the time."""

import re
from pathlib import Path

from support.source_tree import find_violations

CLOCK = Path("producer/sluicegate/lua/include/clock.lua")
ASKS_FOR_TIME = re.compile(r"""(['"])TIME\1""", re.IGNORECASE)


def find_missing_header(_: Path, text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#!")]
    words = " ".join(lines[:2]).removeprefix("--[[").removeprefix("--").strip() if lines else ""
    return [] if lines and lines[0].startswith("--") and words else ["its header does not say what it does"]


def find_clocks(path: Path, text: str) -> list[str]:
    if path == CLOCK:
        return []
    return [
        f"line {number}: only {CLOCK.name} asks for the time"
        for number, line in enumerate(text.splitlines(), 1)
        if ASKS_FOR_TIME.search(line)
    ]


def test_every_script_has_a_header() -> None:
    assert find_violations(find_missing_header, suffixes=(".lua",)) == []


def test_one_include_asks_for_the_time() -> None:
    assert find_violations(find_clocks, suffixes=(".lua",)) == []


def test_a_missing_header_is_found() -> None:
    assert find_missing_header(Path("a.lua"), "#!lua\nlocal x = 1\n")
    assert find_missing_header(Path("a.lua"), "")
    assert find_missing_header(Path("a.lua"), "#!lua\n-- Leases requests.\n") == []
    assert find_missing_header(Path("a.lua"), "--[[\nlease: leases requests.\n]]\n") == []


def test_a_second_clock_is_found() -> None:
    planted = "-- x\nlocal now = redis.call('time')\n"
    assert find_clocks(Path("worker/sluicegate_worker/lua/lease.lua"), planted) == [
        "line 2: only clock.lua asks for the time"
    ]
    assert find_clocks(Path("worker/sluicegate_worker/lua/lease.lua"), "local time = slot_time\n") == []
    assert find_clocks(CLOCK, planted) == []
