"""What a synchronous Producer gives: a ticket and a streamed answer, each call waiting for its own."""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self

from sluicegate.carrier import Carrier
from sluicegate.stream import ReplyStream
from sluicegate.ticket import Ticket
from sluicegate.wire import Reply


class ById(Protocol):
    """Who can be asked for a request by its id."""

    def result(self, id: str, timeout: float = 0) -> Reply: ...

    def cancel(self, id: str) -> str: ...


class BlockingTicket:
    """An accepted request. `position` and `eta_s` (seconds) are estimates of the moment when it was accepted."""

    def __init__(self, ticket: Ticket, carrier: Carrier, by_id: ById, is_here: Callable[[], bool]) -> None:
        self.id, self.position, self.eta_s = ticket.id, ticket.position, ticket.eta_s
        self.inner = ticket  # ours, not for callers
        self._carrier, self._by_id = carrier, by_id
        self.is_here = is_here  # ours, too

    def __repr__(self) -> str:
        return repr(self.inner)

    def reply(self, timeout: float | None = None) -> Reply:
        """Waits for the outcome, for `timeout` seconds at most. Raises ReplyTimeout (the request lives on) or what
        the outcome is."""
        if self.is_here():
            return self._carrier.run(self.inner.reply(timeout))
        return self._by_id.result(self.id, float("inf") if timeout is None else timeout)  # after a fork

    def cancel(self) -> str:
        """Ends the request and returns its final state: cancelled, or ok, dead or expired where that was there
        first."""
        return self._carrier.run(self.inner.cancel()) if self.is_here() else self._by_id.cancel(self.id)


class BlockingStream:
    """`for chunk in producer.stream(…)`: as `ReplyStream`, each step waiting for its own."""

    def __init__(self, carrier: Carrier, stream: ReplyStream) -> None:
        self._carrier, self._stream = carrier, stream

    def start(self) -> Self:
        """Submits the request, and returns when the answer begins: with its first byte."""
        self._carrier.run(self._stream.start())
        return self

    def read(self) -> bytes:
        """The next bytes; none at the end."""
        return self._carrier.run(self._stream.read())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self.read():
                yield chunk
        finally:
            self.close()

    def close(self) -> None:
        """Cancels the request unless it has ended; harmless when repeated, after the producer was closed, and in the
        child of a fork, whose parent reads on."""
        self._carrier.end(self._stream.aclose())

    @property
    def id(self) -> str:
        """The request's, once it has started."""
        return self._stream.id

    @property
    def status(self) -> int:
        return self._stream.status

    @property
    def headers(self) -> dict[str, str]:
        return self._stream.headers

    @property
    def reply(self) -> Reply | None:
        """The whole answer, after the last chunk."""
        return self._stream.reply
