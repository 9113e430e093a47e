"""The dashboard: what it asks is PromQL, nothing covers another thing, and each panel says what it shows."""

import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from support.alerting import list_rules
from support.grafana import list_panels, read_dashboard, read_expressions
from support.promql import read_selections
from support.promtool import run_promtool

WIDTH = 24  # of Grafana's grid
UNITS = {"none", "s", "percentunit", "reqps", "ops", "bytes"}  # Grafana takes an unknown one for text, and says nothing
ROWS = ["Is it well?", "Quota", "Waiting and fairness", "Calls", "Trouble", "Dispatchers and Redis"]
ADDED_UP = re.compile(r"\b(sum|count|avg)\b( by \([^)]*\))? ?\(sluicegate_(pool|upstream|redis)_")

Panel = dict[str, Any]


def faults_of(panels: Sequence[Panel]) -> list[tuple[str, str]]:
    found = []
    for panel in panels:
        title, defaults = panel["title"], panel["fieldConfig"]["defaults"]
        if len(panel["description"].split()) < 4:
            found.append((title, "says nothing"))
        if defaults["unit"] not in UNITS:
            found.append((title, "unit"))
        if panel["type"] not in ("stat", "timeseries"):
            found.append((title, "type"))
        if panel["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            found.append((title, "datasource"))
        if [one["refId"] for one in panel["targets"]] != list("ABC"[: len(panel["targets"])]):
            found.append((title, "targets"))
        if not all(one["legendFormat"] for one in panel["targets"]):
            found.append((title, "legend"))
        if panel["type"] == "stat" and not all(one.get("instant") for one in panel["targets"]):
            found.append((title, "shows what was for what is"))
    return found


def overlaps(panels: Sequence[Panel]) -> list[tuple[str, str]]:
    found = []
    for one, other in combinations(panels, 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        if not (beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]):
            found.append((one["title"], other["title"]))
    return found


def test_every_question_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(read_expressions())]
    assert len(rules) > 50
    assert "$" not in "".join(read_expressions())
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run_promtool("check", "rules", "--lint=none", file)


def test_nothing_covers_another() -> None:
    panels = read_dashboard()["panels"]
    assert [one["title"] for one in panels if one["gridPos"]["x"] + one["gridPos"]["w"] > WIDTH] == []
    assert overlaps(panels) == []
    place = {"x": 0, "y": 0, "w": 8, "h": 7}
    over = [{"title": "a", "gridPos": place}, {"title": "b", "gridPos": place | {"x": 7, "y": 6}}]
    assert overlaps(over) == [("a", "b")]


def test_it_begins_with_whether_all_is_well() -> None:
    assert [panel["title"] for panel in read_dashboard()["panels"] if panel["type"] == "row"] == ROWS
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in read_dashboard()["panels"]]
    assert places == sorted(places)
    [first, *_] = list_panels()
    assert first["title"] == "Alerts"


def test_each_panel_says_what_it_shows() -> None:
    assert faults_of(list_panels()) == []
    ids = [panel["id"] for panel in read_dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in list_panels()]
    assert len(titles) == len(set(titles))


def test_a_faulty_panel_is_found() -> None:
    [panel, *_] = list_panels()
    [target] = panel["targets"]
    broken = [
        panel | {"description": "Calls"},
        panel | {"type": "graph"},
        panel | {"datasource": None},
        panel | {"fieldConfig": {"defaults": {"unit": "seconds"}}},
        *(
            panel | {"targets": [target | fault]}
            for fault in ({"refId": "B"}, {"legendFormat": ""}, {"instant": False})
        ),
    ]
    assert [len(faults_of([one])) for one in broken] == [1] * len(broken)


def test_it_keeps_its_address() -> None:
    dashboard = read_dashboard()
    assert (dashboard["uid"], dashboard["title"]) == ("sluicegate", "Sluicegate")
    assert [one["name"] for one in dashboard["templating"]["list"]] == ["datasource", "namespace", "pool"]


def test_every_question_is_of_the_chosen_namespace_and_pool() -> None:
    for panel in list_panels():
        for target in panel["targets"]:
            for one in read_selections(target["expr"]):
                if one.name != "ALERTS":
                    assert one.wanted["namespace"] == {"$namespace"}, target["expr"]
                    assert "pool" not in one.wanted or one.wanted["pool"] == {"$pool"}


def test_what_every_dispatcher_says_is_never_added_up() -> None:
    """Neither here nor in the rules."""
    asked = [*read_expressions(), *(rule["expr"] for rule in list_rules())]
    assert [one for one in asked if ADDED_UP.search(one)] == []
    assert ADDED_UP.search("sum by (pool) (sluicegate_pool_waiting)")


def test_what_an_alert_looks_at_is_shown() -> None:
    shown = {one.name for expression in read_expressions() for one in read_selections(expression)}
    told = {one.name for rule in list_rules() if "record" in rule for one in read_selections(rule["expr"])}
    watched = {one.name for rule in list_rules() if "alert" in rule for one in read_selections(rule["expr"])}
    assert watched - shown - told - {"up", "sluicegate:calls:rate5m", "sluicegate:wait_p99_seconds"} == set()
