"""Every error of Sluicegate, drawn as one tree.

    SluicegateError
    ├─ InvalidRequest        the caller's own: bad name, body, path, pool or setting; nothing was accepted
    ├─ BacklogFull           no room now; `retry_after_s` says when to come back
    ├─ WouldMissDeadline     it would not be sent in time; `eta_s` says how long, `retry_after_s` when to come back
    ├─ StreamBroken          a streamed answer broke off after its first byte; it is not begun again
    ├─ DeadlineExceeded      accepted, but not answered in time; never sent after its deadline
    ├─ RequestDead           given up, in the dead letters; `reason`, `status`, `last_error`
    ├─ RequestCancelled      cancelled before it was answered
    ├─ UnknownRequest        no such id, or its reply's time to live is over
    ├─ ReplyTimeout          you stopped waiting; the request lives on
    └─ StoreUnavailable      Redis cannot be reached, refuses, or cannot be used safely

Nothing is half done when one of the first three is raised: the request was not accepted.
"""


class SluicegateError(Exception):
    """The root of the tree: `except SluicegateError` catches all that Sluicegate raises on purpose."""


class InvalidRequest(SluicegateError):
    """The request can never be accepted as it is; the sentence says what to change."""


class BacklogFull(SluicegateError):
    """The pool's or the agent's backlog is full; trying again before `retry_after_s` seconds is pointless."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WouldMissDeadline(SluicegateError):
    """It would be sent in `eta_s` seconds, after its deadline: so much waits before it, or no upstream opens sooner.

    With the same deadline it may be accepted after `retry_after_s` seconds.
    """

    def __init__(self, message: str, eta_s: float, retry_after_s: float) -> None:
        super().__init__(message)
        self.eta_s = eta_s
        self.retry_after_s = retry_after_s


class DeadlineExceeded(SluicegateError):
    """The deadline passed before the provider answered."""


class StreamBroken(SluicegateError):
    """A streamed answer broke off: what came of it came, and no more will."""


class RequestDead(SluicegateError):
    """The request is in the dead letters for `reason`, after `status` (the provider's last, if any)."""

    def __init__(self, message: str, reason: str, status: int | None, last_error: str | None) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.last_error = last_error


class RequestCancelled(SluicegateError):
    """Somebody cancelled the request before it was answered."""


class UnknownRequest(SluicegateError):
    """Nobody knows this id: it was never accepted, or its reply has ended by age."""


class ReplyTimeout(SluicegateError):
    """The caller's own time-out passed; the request was not cancelled and its reply can still be read."""


class StoreUnavailable(SluicegateError):
    """Redis or Valkey cannot be reached or refuses to serve; the sentence says which and what to do.

    `answer` is what the server said where it was reached but refused a command, None where it was not.
    """

    def __init__(self, message: str, answer: str | None = None) -> None:
        super().__init__(message)
        self.answer = answer
