"""AsyncProducer: what an agent calls. It knows where Redis is, which pool and which agent; the rest is the pools'
business."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from re import sub
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import msgspec

from sluicegate.errors import InvalidRequest, SluicegateError, StoreUnavailable, UnknownRequest
from sluicegate.estimate import Peek, read_peek
from sluicegate.inbox import CLOSED
from sluicegate.keys import POOLS
from sluicegate.many import Progress, in_order_of_completion, submit_all
from sluicegate.names import check_name
from sluicegate.pool import POOL_WAIT_S, PoolClient
from sluicegate.settings import resolve_settings
from sluicegate.store import Store
from sluicegate.stream import OpenStream, ReplyStream
from sluicegate.submission import Options, Order, encode_body, takes_model
from sluicegate.ticket import Ticket, check_timeout, quietly_cancel
from sluicegate.wire import Reply

Answer = TypeVar("Answer")

_POOLS_FRESH_S = 10.0
_POOLS_POLL_S = 0.25


class AsyncProducer:
    """Requests in, replies out. Share one per process: its calls share round trips, and one connection waits for all
    replies.

    `pool` may be left out where each body names a `model`; `agent` may come with each call. What is missing is taken
    from `SLUICEGATE_REDIS_URL`, `SLUICEGATE_POOL` and `SLUICEGATE_AGENT`. Raises
    StoreUnavailable when Redis cannot be used.
    """

    def __init__(self, redis_url: str | None = None, *, pool: str | None = None, agent: str | None = None) -> None:
        settings = resolve_settings(redis_url, pool, agent)
        self._pool = check_name("pool", settings.pool) if settings.pool is not None else None
        self._agent = check_name("agent", settings.agent) if settings.agent is not None else None
        self._store = Store(settings.redis_url)
        self._name = _producer_name()
        self._pools: dict[str, PoolClient] = {}
        self._models: dict[str, list[str]] = {}
        self._models_read_at = float("-inf")
        self._withdrawals: set[asyncio.Task[Any]] = set()
        self._closing = False

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        self._closing = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        try:
            if self._withdrawals:
                await asyncio.wait(self._withdrawals)
            for pool in self._pools.values():
                await pool.close()
        finally:
            self._pools.clear()
            await self._store.__aexit__(kind, error, trace)

    async def request(self, path: str, body: Any, **options: Unpack[Options]) -> Reply:
        """Submits and waits for the reply; cancelling the task that waits cancels the request.

        Takes what `submit` takes. Raises InvalidRequest, BacklogFull or WouldMissDeadline (not accepted),
        DeadlineExceeded, RequestDead, RequestCancelled, StoreUnavailable.
        """
        ticket = await self.submit(path, body, **options)
        try:
            return await ticket.reply()
        except asyncio.CancelledError:
            withdrawal = asyncio.ensure_future(quietly_cancel(ticket))
            self._withdrawals.add(withdrawal)
            withdrawal.add_done_callback(self._withdrawals.discard)
            raise

    async def submit(self, path: str, body: Any, **options: Unpack[Options]) -> Ticket:
        """Hands the request in and returns as soon as it is accepted; it lives on whatever becomes of this process.

        `body` is an object that msgspec can encode, or bytes that are JSON. The options are those of `Options`:
        method, headers, agent, priority, key, id, deadline, not_before, on_unknown, tokens. Raises InvalidRequest,
        BacklogFull or WouldMissDeadline when it is not accepted, StoreUnavailable when that is not known (the same
        `id` makes it safe to try again).
        """
        order, encoded, peek = read_order(path, body, options)
        pool = self._client(self._pool or await self._pool_of(peek.model))
        return await pool.submit(order, encoded, peek, self._agent)

    def stream(self, path: str, body: Any, **options: Unpack[Options]) -> ReplyStream:
        """The answer as bytes while it comes, as the provider sends them: `async for chunk in producer.stream(…)`.

        The body asks for it in the provider's words (`"stream": true`); what it does not stream comes as a whole, and
        so does an answer that is no success. Leaving the loop, or cancelling its task, cancels the request and with it
        the call. Takes what `submit` takes.
        """
        order, encoded, peek = read_order(path, body, options)

        async def submit() -> OpenStream:
            pool = self._client(self._pool or await self._pool_of(peek.model))
            return await pool.stream(order, encoded, peek, self._agent)

        return ReplyStream(submit)

    async def submit_many(
        self, requests: Iterable[Mapping[str, Any]], *, progress: Progress | None = None
    ) -> list[Ticket | SluicegateError]:
        """Hands in all of them together; each is the arguments of `submit` by name. In their order, a ticket for what
        was accepted and an error for what was refused; `progress(done, total)` is called after each."""
        return await submit_all(self.submit, requests, progress)

    def as_completed(
        self, tickets: Iterable[Ticket], timeout: float | None = None, *, progress: Progress | None = None
    ) -> AsyncGenerator[Ticket, None]:
        """Each ticket once its request has ended, so that its `reply()` does not wait. Raises ReplyTimeout when
        `timeout` seconds have passed before the last; all requests live on."""
        check_timeout(timeout)
        return in_order_of_completion(tickets, timeout, progress)

    async def result(self, id: str, timeout: float = 0) -> Reply:
        """The reply of a request submitted by any process, waiting `timeout` seconds for it; until the reply's time
        to live is over."""
        check_timeout(timeout)
        return await self._in_its_pool(id, lambda pool: pool.result(id, timeout))

    async def ticket(self, id: str) -> Ticket:
        """The ticket of a request that any process submitted; its `position` and `eta_s` are 0. Raises
        UnknownRequest."""
        return await self._in_its_pool(id, lambda pool: pool.ticket(id))

    async def cancel(self, id: str) -> str:
        """Ends a request that any process submitted, and returns its final state: cancelled, or ok, dead or expired
        where that was there first. Raises UnknownRequest."""
        return await self._in_its_pool(id, lambda pool: pool.cancel(id))

    async def _in_its_pool(self, id: str, ask: Callable[[PoolClient], Awaitable[Answer]]) -> Answer:
        check_name("id", id)
        names = [self._pool] if self._pool else list(await self._read_models())
        for name in names:
            try:
                return await ask(self._client(name))
            except UnknownRequest:
                if name == names[-1]:
                    raise
        raise UnknownRequest(f"no request {id}: there are no pools at {self._store.place}")

    def _client(self, pool: str) -> PoolClient:
        client = self._pools.get(pool)
        if self._closing:
            raise StoreUnavailable(CLOSED)
        if client is None:
            client = self._pools[pool] = PoolClient(self._store, pool, self._name)
        return client

    async def _pool_of(self, model: str | None) -> str:
        """The pool that serves the model; of several, the one whose pattern is the longest, for it is the most
        particular."""
        if model is None:
            raise InvalidRequest(
                "name the pool (AsyncProducer(pool=…) or SLUICEGATE_POOL), or a model in the body that chooses it"
            )
        until = time.monotonic() + POOL_WAIT_S
        fresh = False
        while True:
            pools = await self._read_models(fresh=fresh)
            fits = [(len(p), name) for name, patterns in pools.items() for p in patterns if takes_model((p,), model)]
            best = sorted({name for length, name in fits if length == max(fits)[0]})
            if len(best) > 1:
                raise InvalidRequest(f"model {model!r:.100} is served alike by pools {', '.join(best[:5])}; name one")
            if best:
                return best[0]
            if fresh and (pools or time.monotonic() > until):
                break
            if fresh:
                await asyncio.sleep(_POOLS_POLL_S)
            fresh = True  # what was read a while ago may have changed since
        known = ", ".join(sorted(pools)) or "none: run `sluicegate pool apply`"
        raise InvalidRequest(f"no pool serves model {model!r:.100}; the pools are {known}")

    async def _read_models(self, *, fresh: bool = False) -> dict[str, list[str]]:
        if fresh or time.monotonic() - self._models_read_at > _POOLS_FRESH_S:
            found: Any = await self._store.call("HGETALL", POOLS)
            pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
            self._models = {name.decode(): msgspec.json.decode(patterns, type=list[str]) for name, patterns in pairs}
            self._models_read_at = time.monotonic()
        return self._models


def read_order(path: str, body: Any, options: Options) -> tuple[Order, bytes, Peek]:
    """What can be said without the pool's terms. Raises InvalidRequest."""
    order, encoded = Order(path=path, body=body, **options), encode_body(body)
    return order, encoded, read_peek(encoded, path)


def _producer_name() -> str:
    host = sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:32]
    return f"{host}-{os.getpid()}-{os.urandom(4).hex()}"
