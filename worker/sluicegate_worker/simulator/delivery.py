"""How an answer that takes a while to send goes out: token by token as each is due, to its end or cut off before."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from aiohttp import web

from sluicegate_worker.simulator.log import Record
from sluicegate_worker.simulator.streams import Pace, Stream

TOKENS_PER_WRITE_MAX = 256  # others have their turn after that many, even if all are due at once


@dataclass(frozen=True)
class Delivery:
    """One answer on its way. Its record stays that of an abandoned call, with the tokens sent, if the client leaves."""

    request: web.BaseRequest
    response: web.StreamResponse
    record: Record
    elapsed_s: Callable[[], float]  # since the arrival of the call
    cut: bool  # the connection is closed after half of it

    async def send_stream(self, stream: Stream, pace: Pace) -> None:
        self.record.first_s = self.elapsed_s()
        with suppress(ConnectionError):
            await self.response.prepare(self.request)
            await self.response.write(stream.opening)
            await self._send_tokens(stream, pace, pace.tokens // 2 if self.cut else pace.tokens)
            if self.cut:
                self._hang_up()
                return
            await asyncio.sleep(pace.service_s - self.elapsed_s())
            await self.response.write_eof(stream.closing)
            self.record.status, self.record.kind = 200, "ok"

    async def send_half(self, body: bytes, tokens_out: int) -> None:
        """Of an answer that is not streamed: it announces all of its bytes. Half of them are half of its tokens."""
        self.response.content_length = len(body)
        with suppress(ConnectionError):
            await self.response.prepare(self.request)
            await self.response.write(body[: len(body) // 2])
            self.record.tokens_out = tokens_out // 2
            self._hang_up()

    async def _send_tokens(self, stream: Stream, pace: Pace, upto: int) -> None:
        sent = 0
        while sent < upto:
            await asyncio.sleep(pace.due_s(sent) - self.elapsed_s())
            # One at least: a timer may go off a little early.
            due = max(1, pace.count_due(self.elapsed_s(), sent, min(upto, sent + TOKENS_PER_WRITE_MAX)))
            await self.response.write(b"".join(islice(stream.tokens, due)))
            sent += due
            self.record.tokens_out = sent

    # What was written is still sent.
    def _hang_up(self) -> None:
        self.record.status, self.record.kind = 200, "cut"
        self.request.protocol.force_close()
