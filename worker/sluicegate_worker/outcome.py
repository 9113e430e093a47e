"""What becomes of one call: a closed union. `policy` decides it, `attempt` carries it out."""

from typing import Literal

from msgspec import Struct

DeadReason = Literal["attempts", "upstream_error", "poison", "undecodable", "too_large", "on_unknown", "quota"]

Fault = Literal["", "failure", "overload", "rate", "ramp", "quota", "credentials"]


class Settle(Struct, frozen=True):
    """The provider's final answer, whatever its status: the agent gets it."""


class Retry(Struct, frozen=True):
    """Another call after `delay_s`.

    `fault` says whose fault it was, empty for nobody's; where it is the upstream's, that is held back for `pause_s`, or
    as long as its breaker says. Not every failure uses an attempt, and what was not sent is handed back as it came.
    """

    delay_s: float
    uses_attempt: bool
    error: str
    status: int | None = None
    pause_s: float = 0.0
    fault: Fault = ""
    sent: bool = True


class Bury(Struct, frozen=True):
    """Given up: into the dead letters."""

    reason: DeadReason
    error: str
    status: int | None = None


class Cut(Struct, frozen=True):
    """Nobody waits for the answer any more: the call was ended, or not begun."""


Outcome = Settle | Retry | Bury | Cut
