"""What has come of a streamed answer, put in order; no effects.

Pieces say their place in the answer, so that one that came twice is known, and one that is missing is not covered up:
the whole answer is kept, and fills what is missing at the end.
"""

import asyncio

import msgspec

from sluicegate.wire import Reply, StreamHead

_decode_head = msgspec.json.Decoder(StreamHead).decode


class Pieces:
    """Of one request. `attempt` is the call that they are of, 0 before the first; `changed` is set by whatever
    happens."""

    def __init__(self) -> None:
        self.attempt = 0
        self.head: StreamHead | None = None
        self.changed = asyncio.Event()
        self._waiting: list[bytes] = []
        self._received = self._taken = 0
        self._begun_anew = False

    def add(self, attempt: int, offset: int, piece: bytes) -> None:
        """Raises ValueError for what is no piece."""
        if offset == 0:
            line, _, piece = piece.partition(b"\n")
            self._begin(attempt, _decode_head(line))
        if attempt != self.attempt or self._begun_anew or offset > self._received:
            return
        fresh = piece[self._received - offset :]
        if fresh:
            self._waiting.append(fresh)
            self._received += len(fresh)
            self.changed.set()

    def _begin(self, attempt: int, head: StreamHead) -> None:
        """A call that follows one of which something was passed on is of no use; else it simply is the next."""
        if attempt <= self.attempt:
            return
        if self._taken:
            self._begun_anew = True
        else:
            self.attempt, self.head = attempt, head
            self._waiting, self._received = [], 0
        self.changed.set()

    def take(self) -> bytes:
        """What has come since the last time."""
        taken = b"".join(self._waiting)
        self._waiting.clear()
        self._taken += len(taken)
        return taken

    def take_rest(self, reply: Reply) -> bytes:
        """What of the whole answer was not taken yet. Raises ValueError where it is another one."""
        if self._taken and (reply.attempts != self.attempt or len(reply.body) < self._taken):
            raise ValueError("another call was answered")
        rest = reply.body[self._taken :]
        self._waiting.clear()
        self._taken += len(rest)
        return rest

    @property
    def is_begun(self) -> bool:
        """Whether something of it was taken."""
        return self._taken > 0

    @property
    def is_broken(self) -> bool:
        return self._begun_anew
