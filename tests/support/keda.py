"""What KEDA makes of a scaler's answers: a metric for the HPA, a fallback where there is none, and 0 ↔ 1."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from support.hpa import Behaviour, Hpa


class Fallback(NamedTuple):
    """What the HPA is told once more than `failures` answers in a row were missing."""

    failures: int
    replicas: int
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"

    def choose(self, replicas: int) -> int:
        match self.behavior:
            case "static":
                return self.replicas
            case "currentReplicas":
                return replicas
            case "currentReplicasIfHigher":
                return max(replicas, self.replicas)
            case "currentReplicasIfLower":
                return min(replicas, self.replicas)


class ScaledObject(NamedTuple):
    """One trigger of type external, and how its target is scaled by it."""

    metadata: Mapping[str, str]
    behaviour: Behaviour
    least: int  # may be 0
    polling_s: float = 30
    cooldown_s: float = 300  # how long after the last activity it goes to 0
    cached: bool = False  # the HPA sees what was polled; else the scaler is asked again each time it looks
    fallback: Fallback | None = None


class Answer(NamedTuple):
    """A scaler's: IsActive and GetMetrics."""

    active: bool
    metric: float


class Keda:
    """Decides; who calls it asks the scaler and changes the replicas. `None` for an answer is a scaler's error."""

    def __init__(self, scaled: ScaledObject) -> None:
        self.scaled = scaled
        self._hpa = Hpa(scaled.behaviour)
        self._failures = 0
        self._active_at_s: float | None = None

    def poll(self, now_s: float, replicas: int, answer: Answer | None) -> int:
        """Its own loop, every `polling_s`: up to the least, from 0 when active, and to 0 when long idle."""
        if answer is None:
            return replicas
        if answer.active:
            self._active_at_s = now_s
            return replicas or max(1, self.scaled.least)
        cold = self._active_at_s is None or now_s - self._active_at_s > self.scaled.cooldown_s
        if self.scaled.least == 0 and cold:
            return 0
        return max(replicas, self.scaled.least)

    def sync(self, now_s: float, replicas: int, answer: Answer | None) -> int:
        """The HPA's loop, every 15 s."""
        self._failures = 0 if answer else self._failures + 1
        metric = answer.metric if answer else self._fall_back(replicas)
        return self._hpa.decide(now_s, replicas, metric)

    def _fall_back(self, replicas: int) -> float | None:
        fallback = self.scaled.fallback
        return fallback.choose(replicas) if fallback and self._failures > fallback.failures else None
