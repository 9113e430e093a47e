"""What is known of a run: a record per offered request, from its client, and a line per call, from the provider."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

State = Literal["refused", "ok", "dead", "expired", "cancelled", "lost"]

SETTLE_S = 2.0
POLL_S = 0.05


class Record(msgspec.Struct):
    """One offered request. Times are Unix seconds; an accepted request counts as lost until its outcome is known."""

    agent: str
    group: str  # "hogs" or "others"
    enqueued_at: float
    id: str | None = None  # none: refused
    state: State = "refused"
    status: int | None = None
    attempts: int = 0
    sent_at: float | None = None  # none: never sent, as far as is known
    done_at: float | None = None
    upstream: str | None = None
    error: str | None = None

    @property
    def wait_s(self) -> float | None:
        """From enqueue to send."""
        return None if self.sent_at is None else self.sent_at - self.enqueued_at


class Call(msgspec.Struct):
    """What the report needs of a line of the provider's log; fields that are not named here are ignored."""

    t: float  # arrival, Unix seconds
    status: int | None
    id: str | None = None
    admitted: bool | None = None

    @property
    def was_admitted(self) -> bool:
        return self.status != 429 if self.admitted is None else self.admitted

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class LogError(Exception):
    """The provider's log cannot be read; the text is one sentence."""


def read_calls(path: Path, since: float) -> list[Call]:
    """The calls that arrived at or after `since`: the log may hold earlier runs. Raises LogError."""
    decode = msgspec.json.Decoder(Call).decode
    calls = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):  # still being written
                    break
                try:
                    call = decode(line)
                except msgspec.DecodeError as error:
                    raise LogError(f"{path} line {number} is no line of a provider's log: {error}") from None
                if call.t >= since:
                    calls.append(call)
    except OSError as error:
        raise LogError(f"cannot read the provider's log {path}: {error.strerror}") from None
    return calls


def read_settled_calls(path: Path, since: float, records: Iterable[Record]) -> list[Call]:
    """The same once the log has the answers that `records` have: it is written a moment after they are sent."""
    answered = {record.id for record in records if record.state == "ok"}
    give_up_at = time.monotonic() + SETTLE_S
    while True:
        calls = read_calls(path, since)
        if answered <= {call.id for call in calls} or time.monotonic() >= give_up_at:
            return calls
        time.sleep(POLL_S)


def write_records(file: BinaryIO, records: Iterable[Record]) -> None:
    """A JSON line per offered request, in the order of offering."""
    file.writelines(_encode(record) + b"\n" for record in records)


def _encode(record: Record) -> bytes:
    return msgspec.json.encode(msgspec.structs.asdict(record) | {"wait_s": record.wait_s})
