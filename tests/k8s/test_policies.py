"""What every workload must keep to, and that each rule finds what breaks it."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from support.manifests import (
    OVERLAYS,
    Manifest,
    containers,
    labels_of,
    name_of,
    of_kind,
    pod_of,
    render,
    selects,
    workloads,
)

POD, BOX = "spec.template.spec", "spec.template.spec.containers.0"  # paths of what is broken below
WAY_OUT = "NetworkPolicy/dispatcher-to-providers"
APP = "app.kubernetes.io/name"
PRIVATE = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8"}

Rule = Callable[[Sequence[Manifest]], list[str]]


def pods_are_restricted(manifests: Sequence[Manifest]) -> list[str]:
    """Kubernetes' profile `restricted`, and no account with a token."""
    found = []
    for one in workloads(manifests):
        pod, security = pod_of(one), pod_of(one).get("securityContext", {})
        good = security.get("runAsNonRoot") is True and security.get("runAsUser", 0) >= 10_000
        good = good and security.get("seccompProfile") == {"type": "RuntimeDefault"}
        good = good and pod.get("automountServiceAccountToken") is False and pod.get("enableServiceLinks") is False
        good = good and not any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC"))
        good = good and not any("hostPath" in volume for volume in pod.get("volumes", []))
        found += [] if good else [name_of(one)]
    return found


def containers_are_restricted(manifests: Sequence[Manifest]) -> list[str]:
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    return [name_of(one) for one, container in containers(manifests) if container.get("securityContext") != wanted]


def images_are_pinned(manifests: Sequence[Manifest]) -> list[str]:
    tags = [(one, container["image"].rpartition("/")[2].partition(":")[2]) for one, container in containers(manifests)]
    return [name_of(one) for one, tag in tags if tag in ("", "latest")]


def resources_are_bounded(manifests: Sequence[Manifest]) -> list[str]:
    """Memory has a limit; CPU has none, since a throttled dispatcher misses its slots."""
    found = []
    for one, container in containers(manifests):
        resources = container.get("resources", {})
        good = resources.get("requests", {}).keys() == {"cpu", "memory"} and resources.get("limits", {}).keys() == {
            "memory"
        }
        found += [] if good else [name_of(one)]
    return found


def liveness_asks_no_other(manifests: Sequence[Manifest]) -> list[str]:
    """/livez and never /readyz: a restart would not mend Redis."""
    found = []
    for one, container in containers(manifests):
        if not container.get("ports") or container["name"] == "valkey":
            continue
        probes = ("startup", "liveness", "readiness")
        paths = {probe: container.get(f"{probe}Probe", {}).get("httpGet", {}).get("path") for probe in probes}
        good = paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
        found += [] if good else [name_of(one)]
    return found


def keda_owns_replicas(manifests: Sequence[Manifest]) -> list[str]:
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(manifests, "ScaledObject")}
    fixed = {one["metadata"]["name"] for one in of_kind(manifests, "Deployment") if "replicas" in one["spec"]}
    return [
        name_of(one)
        for one in of_kind(manifests, "Deployment")
        if (one["metadata"]["name"] in fixed) == (one["metadata"]["name"] in scaled)
    ]


def selectors_find_their_pods(manifests: Sequence[Manifest]) -> list[str]:
    pods = [labels_of(one) for one in workloads(manifests)]
    found = []
    for one in of_kind(manifests, "Deployment", "StatefulSet"):
        found += [] if selects(one["spec"]["selector"], labels_of(one)) else [name_of(one)]
    for one in of_kind(manifests, "PodDisruptionBudget", "PodMonitor", "Service", "NetworkPolicy"):
        selector = one["spec"].get("selector", one["spec"].get("podSelector"))
        selector = {"matchLabels": selector} if one["kind"] == "Service" else selector
        found += [] if any(selects(selector, pod) for pod in pods) else [name_of(one)]
    return found


def disruptions_leave_one(manifests: Sequence[Manifest]) -> list[str]:
    """One at a time, and never so many kept that a node cannot be drained."""
    return [name_of(one) for one in of_kind(manifests, "PodDisruptionBudget") if one["spec"].get("maxUnavailable") != 1]


def everything_is_denied_first(manifests: Sequence[Manifest]) -> list[str]:
    for spec in (one["spec"] for one in of_kind(manifests, "NetworkPolicy")):
        of_all = spec["podSelector"] == {} and set(spec["policyTypes"]) == {"Ingress", "Egress"}
        if of_all and not spec.get("ingress") and not spec.get("egress"):
            return []
    return ["nothing denies"]


def only_dispatchers_reach_the_world(manifests: Sequence[Manifest]) -> list[str]:
    """And they no private network: neither Redis' neighbours nor the cloud's metadata."""
    found = []
    for policy in of_kind(manifests, "NetworkPolicy"):
        pods = [
            labels_of(one) for one in workloads(manifests) if selects(policy["spec"]["podSelector"], labels_of(one))
        ]
        reached = {labels[APP] for labels in pods}
        for rule in policy["spec"].get("egress", []):
            for block in (to["ipBlock"] for to in rule["to"] if to.get("ipBlock", {}).get("cidr", "").endswith("/0")):
                spared = block["cidr"] != "0.0.0.0/0" or set(block.get("except", [])) >= PRIVATE
                if reached != {"dispatcher"} or not spared or rule["ports"] != [{"protocol": "TCP", "port": 443}]:
                    found.append(name_of(policy))
    return found


def who_needs_redis_reaches_it(manifests: Sequence[Manifest]) -> list[str]:
    found = []
    for one, container in containers(manifests):
        needs = any(variable["name"] == "SLUICEGATE_REDIS_URL" for variable in container.get("env", []))
        reaches = [
            policy
            for policy in of_kind(manifests, "NetworkPolicy")
            if policy["metadata"]["name"] == "to-redis" and selects(policy["spec"]["podSelector"], labels_of(one))
        ]
        found += [] if needs == bool(reaches) else [name_of(one)]
    return found


def pods_are_spread(manifests: Sequence[Manifest]) -> list[str]:
    found = []
    for one in of_kind(manifests, "Deployment"):
        if one["metadata"]["name"] in ("dispatcher", "scaler"):
            spread = pod_of(one).get("topologySpreadConstraints", [])
            good = bool(spread)
            for rule in spread:
                good = good and rule["whenUnsatisfiable"] == "ScheduleAnyway"
                good = good and selects(rule["labelSelector"], labels_of(one))
            found += [] if good else [name_of(one)]
    return found


def keys_are_files(manifests: Sequence[Manifest]) -> list[str]:
    """A provider's key is a file: it can be changed, and is in no environment that a child inherits."""
    return [
        name_of(one)
        for one, container in containers(manifests)
        for variable in container.get("env", [])
        if "keys" in variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name", "")
    ]


# Rule → what breaks it: a manifest by kind and name, a path in it, and what is put there; None takes it away.
Breakage = tuple[Rule, str, str, Any]
BREAKAGES: list[Breakage] = [
    (pods_are_restricted, "Deployment/dispatcher", f"{POD}.securityContext.runAsNonRoot", None),
    (pods_are_restricted, "Job/pool-apply", f"{POD}.securityContext.runAsUser", 0),
    (pods_are_restricted, "Deployment/scaler", f"{POD}.automountServiceAccountToken", None),
    (pods_are_restricted, "Deployment/agent", f"{POD}.hostNetwork", True),
    (containers_are_restricted, "Deployment/dispatcher", f"{BOX}.securityContext.readOnlyRootFilesystem", False),
    (containers_are_restricted, "Deployment/agent", f"{BOX}.securityContext.capabilities", None),
    (images_are_pinned, "Deployment/dispatcher", f"{BOX}.image", "sluicegate:latest"),
    (images_are_pinned, "Deployment/dispatcher", f"{BOX}.image", "registry:5000/sluicegate"),
    (resources_are_bounded, "Deployment/scaler", f"{BOX}.resources.limits.memory", None),
    (resources_are_bounded, "Deployment/dispatcher", f"{BOX}.resources.limits.cpu", "1"),
    (liveness_asks_no_other, "Deployment/dispatcher", f"{BOX}.livenessProbe.httpGet.path", "/readyz"),
    (keda_owns_replicas, "Deployment/dispatcher", "spec.replicas", 2),
    (keda_owns_replicas, "Deployment/scaler", "spec.replicas", None),
    (
        selectors_find_their_pods,
        "Deployment/scaler",
        "spec.template.metadata.labels",
        {APP: "scalar"},
    ),
    (selectors_find_their_pods, "NetworkPolicy/keda-to-scaler", "spec.podSelector.matchLabels", {"app": "scaler"}),
    (disruptions_leave_one, "PodDisruptionBudget/dispatcher", "spec", {"minAvailable": 2}),
    (everything_is_denied_first, "NetworkPolicy/default-deny", "spec.policyTypes", ["Ingress"]),
    (only_dispatchers_reach_the_world, WAY_OUT, "spec.podSelector", {}),
    (
        only_dispatchers_reach_the_world,
        "NetworkPolicy/dispatcher-to-providers",
        "spec.egress.0.to.0.ipBlock.except",
        [],
    ),
    (
        who_needs_redis_reaches_it,
        "Deployment/agent",
        "spec.template.metadata.labels",
        {"app.kubernetes.io/name": "agent"},
    ),
    (pods_are_spread, "Deployment/scaler", f"{POD}.topologySpreadConstraints", None),
    (
        keys_are_files,
        "Deployment/dispatcher",
        f"{BOX}.env.1.valueFrom.secretKeyRef.name",
        "sluicegate-keys",
    ),
]
RULES = list(dict.fromkeys(rule for rule, *_ in BREAKAGES))


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_overlay_keeps_to_it(rule: Rule, overlay: str) -> None:
    assert rule(render(overlay)) == []


@pytest.mark.parametrize(("rule", "where", "path", "value"), BREAKAGES)
def test_what_breaks_it_is_found(rule: Rule, where: str, path: str, value: object) -> None:
    manifests = copy.deepcopy(render("prod"))
    [broken] = [one for one in manifests if name_of(one) == where]
    *way, last = path.split(".")
    place: Any = broken
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    assert rule(manifests) != []


def test_the_namespace_enforces_it_too() -> None:
    for overlay in OVERLAYS:
        [namespace] = of_kind(render(overlay), "Namespace")
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_trial_valkey_keeps_what_it_is_given() -> None:
    [valkey] = of_kind(render("dev"), "StatefulSet")
    arguments = pod_of(valkey)["containers"][0]["args"]
    options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    kept = {"--appendonly": "yes", "--maxmemory-policy": "noeviction", "--stream-node-max-bytes": "1024"}
    assert kept.items() <= options.items()
    assert "volumeClaimTemplates" in valkey["spec"]
