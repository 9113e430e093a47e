"""Strict schemas: Kubernetes' own at the oldest and newest minor that we support, closed ones for the kinds of others.

The schemas of others hold only the fields that are used here, so that a field that is mistyped, or new to us, is found.
"""

import copy
import json
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from kubernetes_validate import SchemaNotFoundError

from support.manifests import K8S, OVERLAYS, Manifest, name_of, of_kind, render
from support.source_tree import ROOT

OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
SCHEMAS = ROOT / "tests" / "k8s" / "schemas"


def validate(manifest: Manifest, version: str) -> None:
    """A kind that nobody has a schema for is an error."""
    own = SCHEMAS / f"{manifest['kind']}.json"
    if own.exists():
        jsonschema.Draft202012Validator(json.loads(own.read_text())).validate(manifest)
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_valid(overlay: str, version: str) -> None:
    for manifest in render(overlay):
        validate(manifest, version)


def test_the_oldest_is_not_the_newest() -> None:
    assert OLDEST != NEWEST
    assert f"Kubernetes {OLDEST}" in (K8S / "README.md").read_text()


def test_an_unknown_kind_is_found() -> None:
    with pytest.raises(SchemaNotFoundError):
        validate({"apiVersion": "example.com/v1", "kind": "Guess", "metadata": {"name": "x"}}, NEWEST)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "spec.template.spec.containers.0.resource", {}),
        ("NetworkPolicy", "spec.podSelectors", {}),
        ("ScaledObject", "spec.pollInterval", 5),
        ("ScaledObject", "spec.triggers.0.metadata.concurrency", 200),  # KEDA takes text only
        ("ScaledObject", "spec.triggers.0.type", "externl"),
        ("ScaledObject", "spec.fallback.behavior", "currentReplica"),
        ("ScaledObject", "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.policies.0.type", "Percents"),
        ("TriggerAuthentication", "spec.secretTargetRef.0.secret", "x"),
        ("PodMonitor", "spec.podMetricsEndpoints.0.port", 8080),
        ("PrometheusRule", "spec.groups.0.rules.0.labls", {}),
    ],
)
def test_a_mistake_is_found(kind: str, path: str, value: object) -> None:
    manifest = copy.deepcopy(of_kind(render("prod"), kind)[0])
    validate(manifest, NEWEST)
    *way, last = path.split(".")
    place: Any = manifest
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(manifest, NEWEST)


def test_every_schema_is_used_and_closed() -> None:
    used = {manifest["kind"] for overlay in OVERLAYS for manifest in render(overlay)}
    for file in SCHEMAS.iterdir():
        assert file.stem in used
        assert _open_objects(json.loads(file.read_text()), file.stem) == []


def _open_objects(schema: Any, place: str) -> list[str]:
    if isinstance(schema, list):
        return [found for at, one in enumerate(schema) for found in _open_objects(one, f"{place}.{at}")]
    if not isinstance(schema, dict):
        return []
    own = [place] if schema.get("type") == "object" and "additionalProperties" not in schema else []
    return own + [found for key, one in schema.items() for found in _open_objects(one, f"{place}.{key}")]


def test_least_is_not_more_than_most() -> None:
    """A rule that KEDA's schema has and JSON Schema cannot say."""
    for overlay in OVERLAYS:
        for scaled in of_kind(render(overlay), "ScaledObject"):
            spec = scaled["spec"]
            assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"], name_of(scaled)
