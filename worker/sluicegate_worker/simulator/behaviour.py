"""What can be changed while the simulator runs: its limit, its service time, its faults."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

Style = Literal["bucket", "second"]


class InvalidBehaviour(ValueError):
    """A value the simulator cannot behave by; the text is one sentence for the person who asked."""


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fault switches: shares of all calls, and a factor on the service time."""

    server_error: float = msgspec.field(default=0.0, name="5xx")
    hang: float = 0.0
    slow: float = 1.0


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checked whenever one is made, so that a simulator never runs by values that make no sense."""

    rpm: int | None = None
    style: Style = "bucket"
    latency_median_s: float = 0.2
    latency_sigma: float = 0.3
    fail_rate: float = 0.0
    faults: Faults = Faults()

    def __post_init__(self) -> None:
        if self.rpm is not None:
            _check_range("rpm", self.rpm, 1, 1_000_000_000)
        _check_range("latency_median_s", self.latency_median_s, 0, 3_600)
        _check_range("latency_sigma", self.latency_sigma, 0, 5)
        _check_range("fail_rate", self.fail_rate, 0, 1)
        _check_range("fault 5xx", self.faults.server_error, 0, 1)
        _check_range("fault hang", self.faults.hang, 0, 1)
        _check_range("fault slow", self.faults.slow, 0, 1_000)
        if self.fail_rate + self.faults.server_error + self.faults.hang > 1:
            raise InvalidBehaviour("fail_rate, fault 5xx and fault hang are shares of all calls: together at most 1")


def change_behaviour(current: Behaviour, changes: Mapping[str, object]) -> Behaviour:
    """The behaviour with some fields replaced (`faults` as a whole), or `InvalidBehaviour`."""
    for name in changes:
        if name not in Behaviour.__struct_fields__:
            raise InvalidBehaviour(f"there is no field {name!r}; there are {', '.join(Behaviour.__struct_fields__)}")
    style = changes.get("style", current.style)
    if style not in get_args(Style):
        raise InvalidBehaviour(f"style must be {' or '.join(get_args(Style))}, not {style!r}")
    try:
        return msgspec.convert(msgspec.to_builtins(current) | dict(changes), Behaviour)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, InvalidBehaviour):
            raise error.__cause__ from None
        raise InvalidBehaviour(str(error)) from None


def _check_range(name: str, value: float, low: float, high: float) -> None:
    # Written so that NaN, which is below and above nothing, is refused too.
    if not low <= value <= high:
        raise InvalidBehaviour(f"{name} must be between {low:,} and {high:,}, not {value!r}")
