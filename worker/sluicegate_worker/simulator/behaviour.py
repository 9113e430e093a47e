"""What can be changed while the simulator runs: its limits and how they are enforced, its service time, its faults."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

Style = Literal["bucket", "second", "ten-seconds", "sliding-minute", "fixed-minute"]
Profile = Literal["openai", "azure", "anthropic", "gemini", "bedrock", "generic"]
Dimension = Literal["rpm", "tpm", "itpm", "otpm", "rpd", "tpd"]

LIMIT_MAX = 1_000_000_000
SHARER_CALLS_A_MINUTE_MAX = 100_000  # they are counted one by one, in the time of whoever calls next


class InvalidBehaviour(ValueError):
    """A value the simulator cannot behave by; the text is one sentence for the person who asked."""


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fault switches: shares of all calls, a factor on the service time, and whether the key is revoked."""

    server_error: float = msgspec.field(default=0.0, name="5xx")
    hang: float = 0.0
    slow: float = 1.0
    slow_down: float = 0.0
    insufficient_quota: float = 0.0
    overloaded: float = 0.0
    cut: float = 0.0
    revoked: float = 0.0

    def shares(self) -> dict[str, float]:
        return {
            "5xx": self.server_error,
            "hang": self.hang,
            "slow_down": self.slow_down,
            "insufficient_quota": self.insufficient_quota,
            "overloaded": self.overloaded,
            "cut": self.cut,
        }


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checked whenever one is made, so that a simulator never runs by values that make no sense."""

    rpm: int | None = None
    tpm: int | None = None
    itpm: int | None = None
    otpm: int | None = None
    rpd: int | None = None
    tpd: int | None = None
    style: Style = "bucket"  # the limits of a day have none: they hold from midnight to midnight, UTC
    profile: Profile = "openai"
    refusals_count: bool = False  # a 429 counts against the request limits as if it had been admitted
    sharer: float = 0.0  # what another client takes of every limit, evenly
    latency_median_s: float = 0.2
    latency_sigma: float = 0.3
    fail_rate: float = 0.0
    faults: Faults = Faults()

    def __post_init__(self) -> None:
        for dimension, limit in self.limits().items():
            _check_range(dimension, limit, 1, LIMIT_MAX)
        _check_range("latency_median_s", self.latency_median_s, 0, 3_600)
        _check_range("latency_sigma", self.latency_sigma, 0, 5)
        _check_range("fail_rate", self.fail_rate, 0, 1)
        _check_faults(self.faults, self.fail_rate)
        if not 0 <= self.sharer < 1:
            raise InvalidBehaviour(f"sharer must be at least 0 and less than 1, not {self.sharer!r}")
        if self.sharer * (self.rpm or 0) > SHARER_CALLS_A_MINUTE_MAX:
            raise InvalidBehaviour(f"sharer times rpm must be at most {SHARER_CALLS_A_MINUTE_MAX:,} calls a minute")

    def limits(self) -> dict[Dimension, int]:
        """Those that are configured."""
        every: dict[Dimension, int | None] = {
            "rpm": self.rpm,
            "tpm": self.tpm,
            "itpm": self.itpm,
            "otpm": self.otpm,
            "rpd": self.rpd,
            "tpd": self.tpd,
        }
        return {dimension: limit for dimension, limit in every.items() if limit is not None}


def change_behaviour(current: Behaviour, changes: Mapping[str, object]) -> Behaviour:
    """The behaviour with some fields replaced (`faults` as a whole), or `InvalidBehaviour`."""
    for name in changes:
        if name not in Behaviour.__struct_fields__:
            raise InvalidBehaviour(f"there is no field {name!r}; there are {', '.join(Behaviour.__struct_fields__)}")
    _check_word("style", changes.get("style", current.style), get_args(Style))
    _check_word("profile", changes.get("profile", current.profile), get_args(Profile))
    try:
        return msgspec.convert(msgspec.to_builtins(current) | dict(changes), Behaviour)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, InvalidBehaviour):
            raise error.__cause__ from None
        raise InvalidBehaviour(str(error)) from None


def _check_faults(faults: Faults, fail_rate: float) -> None:
    for name, share in faults.shares().items():
        _check_range(f"fault {name}", share, 0, 1)
    _check_range("fault slow", faults.slow, 0, 1_000)
    if faults.revoked not in {0, 1}:
        raise InvalidBehaviour(f"fault revoked must be 0 or 1, not {faults.revoked!r}")
    if fail_rate + sum(faults.shares().values()) > 1:
        names = ", fault ".join(faults.shares())
        raise InvalidBehaviour(f"fail_rate, fault {names} are shares of all calls: together at most 1")


def _check_word(name: str, value: object, words: tuple[str, ...]) -> None:
    if value not in words:
        raise InvalidBehaviour(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, not {value!r}")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    # Written so that NaN, which is below and above nothing, is refused too.
    if not low <= value <= high:
        raise InvalidBehaviour(f"{name} must be between {low:,} and {high:,}, not {value!r}")
