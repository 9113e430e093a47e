"""How the manifests scale dispatchers: their ScaledObject, read into what the simulated KEDA and HPA follow."""

import copy
from collections.abc import Mapping
from typing import Any

from support.hpa import DOWN, UP, Behaviour, Policy, Rules
from support.keda import Fallback, ScaledObject
from support.manifests import of_kind, render


def read_dispatchers(most: int, metadata: Mapping[str, str]) -> ScaledObject:
    """That of the overlay for production, with another most of replicas and some of the trigger's metadata replaced."""
    [found] = [one for one in of_kind(render("prod"), "ScaledObject") if one["metadata"]["name"] == "dispatcher"]
    document = copy.deepcopy(found)
    document["spec"]["maxReplicaCount"] = most
    document["spec"]["triggers"][0]["metadata"] |= metadata
    return read_scaled_object(document)


def read_scaled_object(document: Mapping[str, Any]) -> ScaledObject:
    """Of one with a single trigger; what it does not say is KEDA's and Kubernetes' default."""
    spec = document["spec"]
    [trigger] = spec["triggers"]
    least = spec.get("minReplicaCount", 0)
    behaviour = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
    up, down = _read_rules(behaviour.get("scaleUp", {}), UP), _read_rules(behaviour.get("scaleDown", {}), DOWN)
    fallback = spec.get("fallback")
    return ScaledObject(
        metadata=trigger["metadata"],
        behaviour=Behaviour(max(1, least), spec.get("maxReplicaCount", 100), up, down),
        least=least,
        polling_s=spec.get("pollingInterval", 30),
        cooldown_s=spec.get("cooldownPeriod", 300),
        cached=trigger.get("useCachedMetrics", False),
        fallback=_read_fallback(fallback) if fallback else None,
    )


def _read_rules(rules: Mapping[str, Any], default: Rules) -> Rules:
    policies = tuple(Policy(one["type"], one["value"], one["periodSeconds"]) for one in rules.get("policies", ()))
    return Rules(
        rules.get("stabilizationWindowSeconds", default.window_s),
        policies or default.policies,
        rules.get("selectPolicy", default.select),
        float(rules.get("tolerance", default.tolerance)),
    )


def _read_fallback(fallback: Mapping[str, Any]) -> Fallback:
    return Fallback(fallback["failureThreshold"], fallback["replicas"], fallback.get("behavior", "static"))
