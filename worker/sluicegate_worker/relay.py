"""One streamed answer on its way to its producer: what has come of it, what was passed on, whether anybody takes it.

The whole answer is written at its end in any case. A piece that finds no room in the inbox therefore only waits, and
one that was passed on twice is recognised by its place in the answer.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from sluicegate.wire import StreamHead
from sluicegate_worker.loops.ending import end_task
from sluicegate_worker.rows import Leased, RelayRow
from sluicegate_worker.upstream.call import Answer
from sluicegate_worker.upstream.reply_headers import passed_headers

ASK_S = 0.5  # whether anybody still waits, where nothing comes from the provider
PIECE_BYTES_MAX = 16_384
_FULL_S = 0.05

_encode = msgspec.json.Encoder().encode


class NobodyWaits(Exception):
    """Who wanted the answer has left, or has an outcome: its call was ended, or spared if it was not `called` yet."""

    def __init__(self, *, called: bool) -> None:
        super().__init__()
        self.called = called


class Relay:
    """`body` is all that has come, `first_at` when it began to; `begun` says whether a byte of it may have reached its
    producer; `stir` is called when there is something to pass on, and told whether it is urgent."""

    def __init__(self, leased: Leased, producer: str, stir: Callable[[bool], None]) -> None:
        self.body = bytearray()
        self.begun = False
        self.first_at: float | None = None
        self._leased, self._producer, self._stir = leased, producer, stir
        self._head = b""
        self._passed_on = 0
        self._mute = False
        self._again_at = 0.0
        self._asked_at = time.monotonic()
        self._left = asyncio.Event()

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        self._head = _encode(StreamHead(status, passed_headers(headers))) + b"\n"

    def feed(self, piece: bytes) -> None:
        if self.first_at is None:
            self.first_at = time.monotonic()
        self.body += piece
        self._stir(not self.begun)

    def leave(self) -> None:
        self._left.set()

    async def listen(self, answer: Coroutine[Any, Any, Answer]) -> Answer:
        """The answer. Raises CallFailed as the call does, or NobodyWaits, and then the call has ended."""
        if self._left.is_set():
            answer.close()
            raise NobodyWaits(called=False)
        calling, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait((calling, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                raise NobodyWaits(called=True)
            return calling.result()
        finally:
            await end_task(calling)
            await end_task(leaving)

    def make_row(self, now: float) -> RelayRow | None:
        """What is to be said of it at this moment, if anything."""
        if not self.has_room:
            return None
        piece = b"" if self._mute else bytes(self.body[self._passed_on : self._passed_on + PIECE_BYTES_MAX])
        if not piece and now < self._asked_at + ASK_S:
            return None
        return self.make_question(piece)

    def make_question(self, piece: bytes = b"") -> RelayRow:
        """Whether anybody waits for it; `piece` goes along."""
        self._asked_at = time.monotonic()
        self.begun = self.begun or piece != b""
        head = self._head if piece and self._passed_on == 0 else b""
        at = f"{self._leased.sends}:{self._passed_on}"
        return RelayRow(self._leased.fence, self._leased.id, self._producer, at, head + piece)

    def hear(self, word: str, row: RelayRow) -> None:
        if word in ("ended", "gone"):
            self.leave()
        elif word == "mute":
            self._mute = True
        elif word == "full":
            self._again_at = time.monotonic() + _FULL_S
        elif row.piece:
            self._passed_on += len(row.piece) - (0 if self._passed_on else len(self._head))

    @property
    def is_behind(self) -> bool:
        return not self._mute and self._passed_on < len(self.body)

    @property
    def has_room(self) -> bool:
        """As far as is known: not for a moment after its inbox was full."""
        return time.monotonic() >= self._again_at

    @property
    def is_left(self) -> bool:
        return self._left.is_set()
