"""The dashboard as the overlay ships it, and what its panels ask."""

import json
from typing import Any

from support.manifests import of_kind, render


def read_dashboard() -> dict[str, Any]:
    [shown] = [one for one in of_kind(render("prod"), "ConfigMap") if "dashboard.json" in one["data"]]
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    found: dict[str, Any] = json.loads(shown["data"]["dashboard.json"])
    return found


def read_expressions() -> list[str]:
    """With Grafana's variables filled in."""
    panels = read_dashboard()["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [one.replace("$__rate_interval", "5m").replace("$pool", ".*") for one in asked]
