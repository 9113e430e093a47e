"""What a trigger asks for: its parameters, as KEDA passes them or a URL has them, read and checked; pure."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any

from msgspec import Struct

from sluicegate.names import NAME
from sluicegate_worker.scaler.demand import Agenting, Dispatching, Signal

# KEDA passes a trigger's whole metadata; these are for itself.
KEDAS = ("scalerAddress", "caCert", "tlsClientCert", "tlsClientKey", "enableTLS", "unsafeSsl", "metricType")
FOR_BOTH = ("pool", "signal", "min", "max", "drainSeconds")
FOR_DISPATCHERS = ("concurrency",)
FOR_AGENTS = ("rpmPerAgent", "tpmPerAgent", "direction", "riseSeconds")
RISE_S_MAX = 900.0
_REPLICAS_MAX = 1_000_000


class InvalidWish(Exception):
    """One sentence: which parameter, and what it must be."""


class Wish(Struct, frozen=True):
    """`terms` says which signal it is; `least` and `most` bound the answer."""

    pool: str
    terms: Dispatching | Agenting
    least: int
    most: int | None

    @property
    def signal(self) -> Signal:
        return "dispatchers" if isinstance(self.terms, Dispatching) else "agents"

    @property
    def metric(self) -> str:
        return f"sluicegate-{self.pool}-{self.signal}"


def read_wish(parameters: Mapping[str, str]) -> Wish:
    """Raises InvalidWish."""
    signal = _one_of(parameters, "signal", ("dispatchers", "agents"))
    own = FOR_DISPATCHERS if signal == "dispatchers" else FOR_AGENTS
    _refuse_unknown(parameters, signal, (*FOR_BOTH, *own))
    pool = parameters.get("pool", "")
    if not NAME.match(pool):
        raise InvalidWish("pool must name a pool: 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    least = _number(parameters, "min", 0, _REPLICAS_MAX, int) or 0
    most = _number(parameters, "max", 0, _REPLICAS_MAX, int)
    if most is not None and most < least:
        raise InvalidWish(f"max must be at least min, which is {least}")
    return Wish(
        pool, _read_dispatching(parameters) if signal == "dispatchers" else _read_agenting(parameters), least, most
    )


def _read_dispatching(parameters: Mapping[str, str]) -> Dispatching:
    named = {
        "concurrency": _number(parameters, "concurrency", 1, 10_000, int),
        "drain_s": _number(parameters, "drainSeconds", 0.001, 86_400),
    }
    return Dispatching(**_given(named))


def _read_agenting(parameters: Mapping[str, str]) -> Agenting:
    named = {
        "rpm": _number(parameters, "rpmPerAgent", 0.001, 1e9),
        "tpm": _number(parameters, "tpmPerAgent", 0.001, 1e12),
        "drain_s": _number(parameters, "drainSeconds", 0.001, 86_400),
        "rise_s": _number(parameters, "riseSeconds", 0, RISE_S_MAX),
    }
    if named["rpm"] is None and named["tpm"] is None:
        raise InvalidWish("rpmPerAgent or tpmPerAgent must say what one agent needs a minute")
    direction: Any = _one_of({"direction": "remaining"} | dict(parameters), "direction", ("remaining", "used"))
    return Agenting(**_given(named), direction=direction)


def _given(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if value is not None}


def _refuse_unknown(parameters: Mapping[str, str], signal: str, known: tuple[str, ...]) -> None:
    """A mistyped one would otherwise be ignored in silence, and the default be followed."""
    for name in parameters:
        if name not in known and name not in KEDAS:
            near = get_close_matches(name, known, n=1)
            cure = f"did you mean {near[0]}?" if near else f"signal {signal} has {', '.join(known)}"
            raise InvalidWish(f"{name[:64]!a} is no parameter of signal {signal}; {cure}")


def _one_of(parameters: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    word = parameters.get(name, "")
    if word not in words:
        raise InvalidWish(f"{name} must be {' or '.join(words)}")
    return word


def _number(
    parameters: Mapping[str, str], name: str, low: float, high: float, kind: Callable[[str], float] = float
) -> Any:
    """None where it is not given."""
    text = parameters.get(name)
    if text is None:
        return None
    try:
        number = kind(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number) or not low <= number <= high:
        what = "a whole number" if kind is int else "a number"
        raise InvalidWish(f"{name} must be {what} from {low:_} to {high:_}")
    return number
