"""The dashboard as the overlay ships it, and what its panels, annotations and variables ask."""

import json
import re
from collections.abc import Iterator
from typing import Any

from support.manifests import of_kind, render


def read_dashboard() -> dict[str, Any]:
    [shown] = [one for one in of_kind(render("prod"), "ConfigMap") if "dashboard.json" in one["data"]]
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    found: dict[str, Any] = json.loads(shown["data"]["dashboard.json"])
    return found


def list_panels() -> list[dict[str, Any]]:
    """Without the rows."""
    return [panel for panel in read_dashboard()["panels"] if panel["type"] != "row"]


def read_expressions() -> list[str]:
    """In PromQL, with Grafana's variables filled in."""
    fill = {"$__rate_interval": "5m", "$pool": ".*", "$namespace": ".*"}
    return [re.sub("|".join(map(re.escape, fill)), lambda it: fill[it[0]], one) for one in _find_expressions()]


def _find_expressions() -> Iterator[str]:
    dashboard = read_dashboard()
    for asking in (*dashboard["annotations"]["list"], *(one for panel in list_panels() for one in panel["targets"])):
        yield asking["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            [(selector, label)] = re.findall(r"^label_values\((.+), (\w+)\)$", variable["query"])
            yield f"max by ({label}) ({selector})"
