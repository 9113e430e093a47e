"""A Lua file opens with a comment that says what it does, one include alone asks for the time, and what includes gather
is written down."""

import re
from pathlib import Path

from support.source_tree import find_violations

CLOCK = Path("producer/sluicegate/lua/include/clock.lua")
ASKS_FOR_TIME = re.compile(r"""(['"])TIME\1""", re.IGNORECASE)
INCLUDES = re.compile(r"^-- @include (.+)$", re.MULTILINE)
WRITERS = {  # what includes gather while a script runs, and who writes it down at the end
    "counters": ("save_counters",),
    "outcome": ("send_bells",),
    "release": ("strike_out", "save_flights", "save_buckets"),
    "bucket": ("save_buckets",),
    "picking": ("save_picker",),
}
NOT_NEEDED = {
    "lease.lua": {"strike_out"},  # its includes do, before others look
    "restore.lua": {"send_bells"},  # ends nothing
    "replay.lua": {"send_bells"},
    "retry_now.lua": {"send_bells", "save_counters"},
}


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


def find_unwritten(path: Path, text: str) -> list[str]:
    included = {name for names in INCLUDES.findall(text) for name in names.split()}
    wanted = {writer for name in included for writer in WRITERS.get(name, ())}
    if " learn(" in text and "costs" in included:
        wanted.add("save_models")
    wanted -= NOT_NEEDED.get(path.name, set())
    return [f"nothing calls {writer}" for writer in sorted(wanted) if f"{writer}(" not in text]


def test_what_includes_gather_is_written_down() -> None:
    assert find_violations(find_unwritten, suffixes=(".lua",)) == []


def test_what_is_gathered_and_lost_is_found() -> None:
    planted = "-- @include keys counters places\n-- @include costs\nlearn(model)\nsave_counters()\n"
    assert find_unwritten(Path("a.lua"), planted.replace("learn", "local x = 1 learn")) == ["nothing calls save_models"]
    assert find_unwritten(Path("a.lua"), "-- @include release\nsave_flights()\nsave_buckets(1)\n") == [
        "nothing calls strike_out"
    ]
    assert find_unwritten(Path("replay.lua"), "-- @include outcome\n") == []


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
