"""Prometheus' rules as the overlay ships them."""

from typing import Any

from support.manifests import of_kind, render


def read_rules() -> dict[str, Any]:
    """In the form that Prometheus reads."""
    [found] = of_kind(render("prod"), "PrometheusRule")
    spec: dict[str, Any] = found["spec"]
    return spec


def list_rules() -> list[dict[str, Any]]:
    return [rule for group in read_rules()["groups"] for rule in group["rules"]]


def read_alerts() -> dict[str, dict[str, Any]]:
    """By name."""
    return {rule["alert"]: rule for rule in list_rules() if "alert" in rule}
