"""The simulator's log: a JSON line for each request as it ends, from which tests count what really arrived."""

import asyncio
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal[
    "ok",
    "rate_limited",
    "slow_down",
    "quota",
    "overloaded",
    "fault_5xx",
    "cut",
    "hang",
    "credentials",
    "bad_request",
    "not_found",
    "abandoned",
]

FLUSH_AFTER_S = 0.1


class Record(msgspec.Struct):
    """Starts as what it is when nothing more happens: a request whose client left before its answer was."""

    t: float  # arrival, Unix seconds; by the same time the limits decided
    id: str | None  # Idempotency-Key
    attempt: int | None  # X-Sluicegate-Attempt
    path: str
    in_flight: int  # at its arrival, itself included
    admitted: bool = False  # the limits let it pass, and it was not refused as too much all the same
    model: str | None = None
    status: int = 499
    kind: Kind = "abandoned"
    tokens_in: int = 0
    tokens_out: int = 0  # those that were sent, where an answer was cut off or its client left in the middle
    first_s: float | None = None  # until the first byte of an answer that is streamed, None for others
    dur_s: float = 0.0


class RequestLog:
    """Appends to one file, from one event loop; a line waits at most FLUSH_AFTER_S for others to go with.

    The first error goes to `broken`: a log with holes is worse than none, so whoever runs the simulator should give up.
    """

    def __init__(self, path: Path, broken: "asyncio.Future[OSError]") -> None:
        self._file = path.open("ab")
        self._broken = broken
        self._lines: list[bytes] = []
        self._flush_timer: asyncio.TimerHandle | None = None

    def write(self, record: Record) -> None:
        self._lines.append(msgspec.json.encode(record))
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_AFTER_S, self._flush)

    def close(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush()
        try:
            self._file.close()
        except OSError as error:
            self._break(error)

    def _flush(self) -> None:
        self._flush_timer = None
        lines, self._lines = self._lines, []
        try:
            self._file.write(b"\n".join(lines) + b"\n")
            self._file.flush()
        except OSError as error:
            self._break(error)

    def _break(self, error: OSError) -> None:
        if not self._broken.done():
            self._broken.set_result(error)
