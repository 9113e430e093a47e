"""How the manifests scale dispatchers: their ScaledObject, read into what the simulated KEDA and HPA follow."""

from collections.abc import Mapping
from typing import Any

import yaml

from support.hpa import DOWN, UP, Behaviour, Policy, Rules
from support.keda import Fallback, ScaledObject

# What k8s/components/keda-dispatchers is to say.
DISPATCHERS = """
spec:
  minReplicaCount: 2
  maxReplicaCount: 20
  pollingInterval: 10
  fallback: {failureThreshold: 3, replicas: 4, behavior: currentReplicasIfHigher}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp:
          stabilizationWindowSeconds: 0
          selectPolicy: Max
          policies:
            - {type: Percent, value: 100, periodSeconds: 15}
            - {type: Pods, value: 4, periodSeconds: 15}
        scaleDown:
          stabilizationWindowSeconds: 300
          policies:
            - {type: Pods, value: 1, periodSeconds: 60}
  triggers:
    - type: external
      useCachedMetrics: true
      metricType: AverageValue
      metadata:
        scalerAddress: scaler:6000
        pool: chat
        signal: dispatchers
        concurrency: "200"
        drainSeconds: "30"
"""


def read_dispatchers(most: int, metadata: Mapping[str, str]) -> ScaledObject:
    """That of the manifests, with another most of replicas and some of the trigger's metadata replaced."""
    document = yaml.safe_load(DISPATCHERS)
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
