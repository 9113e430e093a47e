"""Producer: AsyncProducer for code without an event loop. Threads may share one; after a fork the child has its own."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self, Unpack
from weakref import WeakSet

from sluicegate.blocking_reply import BlockingStream, BlockingTicket
from sluicegate.carrier import Carrier
from sluicegate.errors import InvalidRequest, SluicegateError, StoreUnavailable
from sluicegate.inbox import CLOSED
from sluicegate.many import Progress
from sluicegate.producer import AsyncProducer
from sluicegate.submission import Options
from sluicegate.ticket import Ticket
from sluicegate.wire import Reply


class _Opened(NamedTuple):
    carrier: Carrier
    producer: AsyncProducer


class Producer:
    """Requests in, replies out, each call waiting for its own. Share one per process, by all its threads.

    Takes and raises what `AsyncProducer` does. Whoever is interrupted (Ctrl-C) while `request` waits cancels the
    request.
    """

    def __init__(self, redis_url: str | None = None, *, pool: str | None = None, agent: str | None = None) -> None:
        self._make: Callable[[], AsyncProducer] = partial(AsyncProducer, redis_url, pool=pool, agent=agent)
        self._make()  # wrong names are refused here and now
        self._entered = self._closed = False
        self._opened: _Opened | None = None
        self._lock = threading.Lock()
        _producers.add(self)

    def __enter__(self) -> Self:
        self._entered, self._closed = True, False
        try:
            self._here()
        except BaseException:
            self._entered = False
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered, self._closed = False, True
        opened, self._opened = self._opened, None
        if opened is not None:
            try:
                opened.carrier.run(opened.producer.__aexit__(kind, error, trace))
            finally:
                opened.carrier.stop()

    def request(self, path: str, body: Any, **options: Unpack[Options]) -> Reply:
        """Submits and waits for the reply."""
        opened = self._here()
        return opened.carrier.run(opened.producer.request(path, body, **options))

    def submit(self, path: str, body: Any, **options: Unpack[Options]) -> BlockingTicket:
        """Hands the request in and returns as soon as it is accepted."""
        opened = self._here()
        return self._wrap(opened, opened.carrier.run(opened.producer.submit(path, body, **options)))

    def submit_many(
        self, requests: Iterable[Mapping[str, Any]], *, progress: Progress | None = None
    ) -> list[BlockingTicket | SluicegateError]:
        """Hands in all of them together; each is the arguments of `submit` by name. In their order, a ticket for what
        was accepted and an error for what was refused.

        `progress(done, total)` is called after each, in a thread that must not wait.
        """
        opened = self._here()
        found = opened.carrier.run(opened.producer.submit_many(requests, progress=progress))
        return [self._wrap(opened, one) if isinstance(one, Ticket) else one for one in found]

    def as_completed(
        self, tickets: Iterable[BlockingTicket], timeout: float | None = None, *, progress: Progress | None = None
    ) -> Iterator[BlockingTicket]:
        """Each ticket once its request has ended, so that its `reply()` does not wait. Raises ReplyTimeout when
        `timeout` seconds have passed before the last; all requests live on."""
        opened = self._here()
        ours = {self._find(opened, ticket): ticket for ticket in tickets}
        completed = opened.producer.as_completed(ours, timeout, progress=progress)
        try:
            while (ended := opened.carrier.run(_next_of(completed))) is not None:
                yield ours[ended]
        finally:
            opened.carrier.end(completed.aclose())

    def stream(self, path: str, body: Any, **options: Unpack[Options]) -> BlockingStream:
        """The answer as bytes while it comes: `for chunk in producer.stream(…)`. Leaving the loop cancels it."""
        opened = self._here()
        return BlockingStream(opened.carrier, opened.producer.stream(path, body, **options))

    def ticket(self, id: str) -> BlockingTicket:
        """The ticket of a request that any process submitted."""
        opened = self._here()
        return self._wrap(opened, opened.carrier.run(opened.producer.ticket(id)))

    def result(self, id: str, timeout: float = 0) -> Reply:
        """The reply of a request submitted by any process."""
        opened = self._here()
        return opened.carrier.run(opened.producer.result(id, timeout))

    def cancel(self, id: str) -> str:
        """Ends a request that anybody submitted, and returns its final state."""
        opened = self._here()
        return opened.carrier.run(opened.producer.cancel(id))

    def _find(self, opened: _Opened, ticket: BlockingTicket) -> Ticket:
        """What waits for it here; a ticket from before a fork waits in the parent."""
        return ticket.inner if ticket.is_here() else opened.carrier.run(opened.producer.ticket(ticket.id))

    def _wrap(self, opened: _Opened, ticket: Ticket) -> BlockingTicket:
        return BlockingTicket(ticket, opened.carrier, self, lambda: self._opened is opened)

    def _here(self) -> _Opened:
        """What carries the calls in this process; made anew in the child of a fork."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> _Opened:
        if self._closed:
            raise StoreUnavailable(CLOSED)
        if not self._entered:
            raise InvalidRequest("not open: use the producer inside `with`")
        carrier, producer = Carrier("sluicegate producer"), self._make()
        try:
            carrier.run(producer.__aenter__())
        except BaseException:
            carrier.stop()
            raise
        return _Opened(carrier, producer)

    def _begin_anew(self) -> None:
        """In the child: the parent's connections are not its own, not even to be closed."""
        _abandoned.append(self._opened)
        self._opened, self._lock = None, threading.Lock()


async def _next_of(completed: Any) -> Ticket | None:
    return await anext(completed, None)


def _begin_all_anew() -> None:
    for producer in list(_producers):
        producer._begin_anew()  # noqa: SLF001  # ours


_producers: "WeakSet[Producer]" = WeakSet()
_abandoned: list[_Opened | None] = []
os.register_at_fork(after_in_child=_begin_all_anew)
