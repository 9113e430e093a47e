"""What people are shown: a moment as a line and as a picture, and the report in words."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from sluicegate_worker.demo.live import AGENTS_SHOWN, Moment, describe, draw
from sluicegate_worker.demo.records import Call, Record
from sluicegate_worker.demo.report import Run, make_report
from sluicegate_worker.demo.summary import summarise


def make_pool(agents: int) -> Mapping[str, Any]:
    return {
        "waiting": 1_234,
        "in_flight": 5,
        "delayed": 6,
        "dead": 7,
        "agents_waiting": agents,
        "agents": [{"agent": f"[b]-{number:02d}", "waiting": number, "oldest_s": None} for number in range(agents)],
        "upstreams": [
            {"limit": {"rpm": 1_000}, "actual": {"rpm": 800}},
            {"limit": {"rpm": 200}, "actual": {}},
            {"limit": {"rpm": None}, "actual": {"rpm": 50}},
        ],
    }


def picture_of(moment: Moment) -> str:
    console = Console(width=100, height=50, force_terminal=False)
    with console.capture() as captured:
        console.print(draw(moment))
    return captured.get()


def test_a_moment_is_one_line_with_every_count() -> None:
    line = describe(Moment(12.3, 30, offered=2_000, answered=500, pool=make_pool(3)))
    assert "\n" not in line
    for part in ("12 s", "850 of 1,200 requests/min", "offered 2,000", "answered 500", "waiting 1,234", "dead 7"):
        assert part in line


def test_the_picture_shows_the_agents_that_wait_most() -> None:
    picture = picture_of(Moment(12.3, 30, offered=2_000, answered=500, pool=make_pool(40)))
    assert "12 of 30 s" in picture
    assert "delayed 6" in picture
    shown = [line.split()[0] for line in picture.splitlines() if line.startswith("[b]-")]
    assert shown == [f"[b]-{number:02d}" for number in range(39, 39 - AGENTS_SHOWN, -1)]


def test_the_picture_of_nothing_and_of_the_drain() -> None:
    pool = make_pool(0)
    assert "draining, 4 s" in picture_of(Moment(34, 30, offered=0, answered=0, pool=pool))


def test_the_summary_names_what_went_wrong() -> None:
    run = Run(duration_s=30, drain_s=2, ended_at=132, group_sizes={"hogs": 0, "others": 3}, limit_rpm=60, dispatchers=2)
    fine = Record("a", "others", 100, "1", "ok", 200, 1, 104.0, 104.5)
    lost = Record("a", "others", 100, "2", "lost")
    assert "every one of them answered, 0 lost" in summarise(make_report(run, [fine], None))
    text = summarise(make_report(run, [fine, lost, Record("a", "others", 100)], [Call(104, 200, "1")]))
    assert "1 answered, 1 refused, 1 lost" in text
    assert "1 calls; 0 refused (429), 0 answered twice" in text
    assert "waited 4.00 s (median)" in text
    assert "hogs" not in text
