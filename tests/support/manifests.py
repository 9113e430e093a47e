"""What the overlays of k8s/ render to, by the kubectl that the lock pins."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.source_tree import ROOT

K8S = ROOT / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (K8S / "components").iterdir())
# What a component stands on, where that is more than the base.
NEEDS = {
    "keda-dispatchers": ("scaler",),
    "keda-agents": ("scaler", "agent-example"),
    "scaler-tls": ("scaler", "keda-dispatchers"),
}

Manifest = dict[str, Any]


@cache
def render(overlay: str) -> list[Manifest]:
    return render_folder(K8S / "overlays" / overlay)


def render_folder(folder: Path) -> list[Manifest]:
    kubectl = Path(sys.executable).with_name("kubectl")
    ended = subprocess.run([kubectl, "kustomize", folder], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return list(yaml.safe_load_all(ended.stdout))


def render_components(names: Sequence[str], directory: Path) -> list[Manifest]:
    """These on the base, in an overlay that is made for it."""
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "sluicegate",
        "resources": [os.path.relpath(K8S / "base", directory)],
        "components": [os.path.relpath(K8S / "components" / name, directory) for name in names],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return render_folder(directory)


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    return [one for one in manifests if one["kind"] in kinds]


def name_of(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def workloads(manifests: Sequence[Manifest]) -> list[Manifest]:
    return of_kind(manifests, "Deployment", "StatefulSet", "Job")


def pod_of(workload: Manifest) -> Manifest:
    pod: Manifest = workload["spec"]["template"]["spec"]
    return pod


def labels_of(workload: Manifest) -> dict[str, str]:
    """Of its pods."""
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def containers(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """Each with its workload."""
    for workload in workloads(manifests):
        for container in pod_of(workload)["containers"]:
            yield workload, container


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """As Kubernetes matches labels; expressions with `In` only, which are all that is used here."""
    plain = selector.get("matchLabels", {}).items() <= labels.items()
    return plain and all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", ()))
