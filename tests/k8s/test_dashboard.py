"""The dashboard: what it asks is PromQL, nothing covers another thing, and each panel says what it shows."""

from itertools import combinations
from pathlib import Path

import yaml

from support.grafana import read_dashboard, read_expressions
from support.manifests import of_kind, render
from support.promtool import run_promtool

WIDTH = 24  # of Grafana's grid


def test_every_question_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(read_expressions())]
    assert len(rules) > 40
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run_promtool("check", "rules", "--lint=none", file)


def test_nothing_covers_another() -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in read_dashboard()["panels"]]
    assert [title for title, at in places if at["x"] + at["w"] > WIDTH] == []
    for (one, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (one, other)


def test_each_panel_says_what_it_shows() -> None:
    panels = [panel for panel in read_dashboard()["panels"] if panel["type"] != "row"]
    silent = [one["title"] for one in panels if not one["description"] or not one["fieldConfig"]["defaults"]["unit"]]
    assert silent == []
    ids = [panel["id"] for panel in read_dashboard()["panels"]]
    assert len(ids) == len(set(ids))


def test_what_matters_is_shown() -> None:
    """Everything that an alert looks at can be looked at."""
    [found] = of_kind(render("prod"), "PrometheusRule")
    alerts = " ".join(rule["expr"] for group in found["spec"]["groups"] for rule in group["rules"])
    shown = " ".join(read_expressions())
    for name in ("pool_backlog_seconds", "pool_fairness_gap", "upstream_breaker", "leases_lost", "redis_memory_used"):
        assert name in alerts
        assert name in shown
