"""A bench for the Lua scripts: the very files that run in earnest, on a real server, at a time that the test sets.

Only the include `clock` is another one: it reads a key outside the pools, which the bench sets before each call.
"""

import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from types import TracebackType
from typing import Any, NamedTuple, Self

from redis.asyncio import Redis

from sluicegate.keys import PoolKeys
from sluicegate.scripts import Argument, Script
from sluicegate.store import Store
from sluicegate.wire import ReplyHead, Submission, encode_reply, split_reply
from sluicegate_worker.mending import mend
from sluicegate_worker.policy_settings import Policy, Retry, UpstreamPolicy
from sluicegate_worker.rows import BuryRow, DropRow, Grant, Leased, RenewRow, RetryRow, SettleRow, read_grant
from sluicegate_worker.script_terms import script_fields
from support.leaks import assert_at_rest
from support.script_clock import CLOCK, CLOCK_KEY, TELL_TIME

START_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
PRICE_US = 10_000  # of the bench's own policy: 6,000 requests a minute without headroom
HORIZON_US = 100_000
POOL = "chat"

_PRODUCER, _WORKER = files("sluicegate") / "lua", files("sluicegate_worker") / "lua"
_OF_PRODUCER = ("enqueue", "watch", "cancel")
_OF_WORKER = (
    "apply", "lease", "pass", "exchange", "renew", "settle", "retry", "bury", "leave", "snapshot", "show", "replay",
    "drop", "retry_now", "hold", "relay",
)  # fmt: skip
SCRIPTS = {name: Script(_PRODUCER, name, clock=CLOCK) for name in _OF_PRODUCER} | {
    name: Script(_WORKER, name, clock=CLOCK) for name in _OF_WORKER
}


class Answer(NamedTuple):
    """What enqueue says of one request; of `values` what comes after the id."""

    kind: str
    id: str
    values: tuple[Any, ...]


def make_policy(
    *, rpm: float | None = 6000, max_in_flight: int = 1000, retry_share: float = 0.2, **rules: Any
) -> Policy:
    """One upstream `a` without headroom, unless `upstreams` says otherwise; `rules` are fields of the policy."""
    upstreams = rules.pop("upstreams", (make_upstream("a", rpm=rpm, max_in_flight=max_in_flight),))
    return Policy(upstreams=upstreams, retry=Retry(share=retry_share), **rules)


def make_upstream(
    name: str,
    *,
    rpm: float | None = 6000,
    max_in_flight: int = 1000,
    provider: str = "openai",
    headroom: float = 0.0,
    **limits: Any,
) -> UpstreamPolicy:
    return UpstreamPolicy(
        name=name, provider=provider, headroom=headroom, rpm=rpm, max_in_flight=max_in_flight, **limits
    )


class Bench:
    """One pool, and a call for each script. `come_to_rest` ends a test: it drains the pool and states I1 and I5."""

    def __init__(self, url: str) -> None:
        self.keys = PoolKeys(POOL)
        # Any: its own types allow for every protocol and encoding at once. A timer for each command would take a fifth
        # of the tests' time.
        self.redis: Any = Redis.from_url(url, protocol=2, decode_responses=True, socket_timeout=None)
        self._store = Store(url)
        self._forget()

    def _forget(self) -> None:
        self.now_us = START_US
        self.accepted: set[str] = set()
        self.leased: dict[str, Leased] = {}
        self.slots: list[int] = []
        self.taken: list[Leased] = []  # with its slot: once for its lease, and for each exchange
        self.upstreams: tuple[str, ...] = ()
        self._made = self._told_us = self._to_age_us = 0

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        await self.apply()
        return self

    async def begin_again(self, policy: Policy) -> None:
        """For properties, whose cases share a server."""
        await self.redis.flushall()
        self._forget()
        await self.apply(policy)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.come_to_rest()
        finally:
            await self.redis.aclose()
            await self._store.__aexit__(None, None, None)

    def advance(self, microseconds: int) -> None:
        """Deliveries age with the clock, at the next script: how long they lie idle is told by the server's own."""
        self.now_us += microseconds
        self._to_age_us += microseconds

    async def run(self, name: str, arguments: Sequence[Argument] = (), each: Iterable[Sequence[Argument]] = ()) -> Any:
        if self.now_us != self._told_us:
            step_ms, self._to_age_us = self._to_age_us // 1000, 0
            self._told_us = self.now_us
            await self.redis.eval(TELL_TIME, 2, CLOCK_KEY, self.keys.fixed("run"), self.now_us, step_ms)
        return await SCRIPTS[name](self._store, self.keys, arguments, each)

    async def apply(self, policy: Policy | None = None, *, replace: bool = True, text: str | None = None) -> list[int]:
        chosen = policy or make_policy()
        fields = list(script_fields(chosen))
        version, ours = await self.run("apply", ("test", -1 if replace else 0, text or repr(chosen)), fields)
        if ours:
            self.upstreams = tuple(upstream.name for upstream in chosen.upstreams)
        return [version, ours]

    def order(
        self, agent: str = "ann", *, id: str | None = None, lane: str = "interactive", key: str = "",
        body: bytes = b"{}", deadline_us: int = 0, not_before_us: int = 0, on_unknown: str = "retry",
        model: str = "m", tokens_in: int = 0, tokens_out: int = 0,
    ) -> Submission:  # fmt: skip
        self._made += 1
        digest = hashlib.sha256(body).hexdigest()[:32]
        head = b'{"method":"POST","path":"/embeddings"}'
        return Submission(
            id or f"r{self._made}", agent, lane, key, digest, head, body, deadline_us, not_before_us, on_unknown,
            model, tokens_in, tokens_out,
        )  # fmt: skip

    async def enqueue(self, *orders: Submission, producer: str = "p1") -> list[Answer]:
        _, *rows = await self.run("enqueue", (producer,), orders)
        answers = [Answer(kind.decode(), request_id.decode(), tuple(values)) for kind, request_id, *values in rows]
        self.accepted.update(answer.id for answer in answers if answer.kind in ("waiting", "delayed"))
        return answers

    async def submit(self, agent: str = "ann", count: int = 1, **order: Any) -> list[str]:
        """Enqueues `count` requests, which must all be accepted; returns their ids."""
        answers = await self.enqueue(*(self.order(agent, **order) for _ in range(count)))
        assert {answer.kind for answer in answers} <= {"waiting", "delayed"}
        return [answer.id for answer in answers]

    async def lease(
        self, dispatcher: str = "d1", *, count: int = 200, bytes: int = 1 << 20, lead_us: int = 0,
        upstreams: Sequence[str] | None = None,
    ) -> Grant:  # fmt: skip
        names = self.upstreams if upstreams is None else upstreams
        answer = await self.run("lease", (dispatcher, count, bytes, lead_us), [(name,) for name in names])
        grant = read_grant(answer)
        self.leased.update((leased.fence, leased) for leased in grant.leased)
        self.slots += [leased.slot_us for leased in grant.leased]
        self.taken += grant.leased
        return grant

    async def take(self, count: int = 1, dispatcher: str = "d1") -> list[Leased]:
        """Leases `count` requests, which must be there."""
        grant = await self.lease(dispatcher, count=count)
        assert len(grant.leased) == count, grant
        return grant.leased

    async def exchange(self, *leased: Leased, lead_us: int = 0, dispatcher: str = "d1") -> list[int]:
        rows = [(one.fence, one.id, one.upstream) for one in leased]
        now_us, *slots = await self.run("exchange", (dispatcher, lead_us), rows)
        assert now_us == self.now_us
        self.slots += [slot for slot in slots if slot > 0]
        self.taken += [one._replace(slot_us=slot) for one, slot in zip(leased, slots, strict=True) if slot > 0]
        return list(slots)

    async def settle(self, *leased: Leased, body: bytes = b"{}", usage: str = "", reported: str = "") -> list[str]:
        rows = [
            SettleRow(one.fence, one.id, one.upstream, self.reply(one, body=body), usage, reported) for one in leased
        ]
        return _words(await self.run("settle", (), rows))

    async def renew(self, dispatcher: str = "d1", *leased: Leased, known_us: int = 0) -> dict[str, str]:
        """What it no longer holds: fence → ended or lost."""
        rows = [RenewRow(one.fence, one.id, one.upstream) for one in leased]
        now_us, *flat = await self.run("renew", (dispatcher, known_us), rows)
        assert now_us == self.now_us
        return dict(zip(_words(flat[::2]), _words(flat[1::2]), strict=True))

    async def retry(
        self, *leased: Leased, delay_us: int = SECOND_US, used: int = 1, pause_us: int = 0, fault: str = "",
        note: bytes = b'{"error":"500"}', sent: bool = True,
    ) -> list[str]:  # fmt: skip
        rows = [
            RetryRow(one.fence, one.id, one.upstream, delay_us, used, int(sent), pause_us, fault, note)
            for one in leased
        ]
        return _words(await self.run("retry", (), rows))

    async def bury(self, *leased: Leased, reason: str = "attempts", note: bytes = b'{"error":"500"}') -> list[str]:
        rows = [
            BuryRow(one.fence, one.id, one.upstream, reason, "500", "broken", self.reply(one, "dead"), note)
            for one in leased
        ]
        return _words(await self.run("bury", (), rows))

    async def cancel(self, *ids: str) -> list[str]:
        return _words(await self.run("cancel", (), [(one,) for one in ids]))

    async def replay(self, *ids: str) -> list[str]:
        return _words(await self.run("replay", ("test",), [(one,) for one in ids]))

    async def drop(self, *rows: tuple[str, str]) -> list[str]:
        return _words(await self.run("drop", ("test",), [DropRow(*row) for row in rows]))

    async def retry_now(self, *ids: str) -> list[str]:
        return _words(await self.run("retry_now", (), [(one,) for one in ids]))

    async def watch(self, *ids: str, producer: str = "") -> list[list[bytes]]:
        answers: list[list[bytes]] = await self.run("watch", (producer,), [(one,) for one in ids])
        return answers

    async def leave(self, dispatcher: str = "d1") -> int:
        answer: int = await self.run("leave", (dispatcher,), [(name,) for name in self.upstreams])
        return answer

    async def pass_on(self, dispatcher: str = "d1") -> None:
        assert await self.run("pass", (dispatcher,), [(name,) for name in self.upstreams]) == 1

    async def mend(self) -> list[str]:
        return await mend(self._store, self.keys)

    async def outcome(self, request_id: str) -> ReplyHead | None:
        blob = await self.redis.get(self.keys.reply(request_id))
        return split_reply(blob.encode())[0] if blob else None

    async def state(self, request_id: str) -> str:
        """The outcome's state, or else the stream where the request is."""
        head = await self.outcome(request_id)
        place = await self.redis.hget(self.keys.request(request_id), "place")
        return head.state if head else str(place).split(" ", maxsplit=1)[0]

    async def counter(self, name: str) -> float:
        return float(await self.redis.hget(self.keys.fixed("sched"), name) or 0)

    async def of_upstream(self, field: str, upstream: str = "a") -> str | None:
        found: str | None = await self.redis.hget(self.keys.upstream(upstream), field)
        return found

    async def in_flight(self, upstream: str = "a") -> int:
        return int(await self.of_upstream("in_flight", upstream) or 0)

    async def hold(self, upstream: str = "", *, held: bool = True) -> Any:
        return await self.run("hold", ("test", upstream, int(held)))

    async def notices(self, producer: str = "p1") -> list[dict[str, str]]:
        return [fields for _, fields in await self.redis.xrange(self.keys.inbox(producer))]

    async def dead_letters(self) -> list[dict[str, str]]:
        return [fields for _, fields in await self.redis.xrange(self.keys.fixed("dead"))]

    def reply(self, leased: Leased, state: str = "ok", body: bytes = b"{}") -> bytes:
        return encode_reply(ReplyHead(state, leased.agent, leased.digest, leased.sends, status=200), body)

    async def come_to_rest(self) -> None:
        """Answers whatever is left, then states I1 (each accepted request has one outcome) and I5 (nothing is left)."""
        await self.redis.hdel(self.keys.fixed("sched"), "trouble")  # whoever damaged keys has put them right
        for _ in range(100):
            for fence, leased in list(self.leased.items()):
                if await self.redis.xlen(self.keys.fixed("run")):
                    await self.settle(leased)
                del self.leased[fence]
            if not await self._find_unfinished():
                break
            self.advance(10 * SECOND_US)
            await self.lease("sweeper")
        assert await self._find_unfinished() == {}
        for request_id in self.accepted:
            head = await self.outcome(request_id)
            assert head is not None, f"{request_id} has no outcome"
            assert head.state in ("ok", "dead", "expired", "cancelled")
        await assert_at_rest(self.redis, POOL)

    async def _find_unfinished(self) -> dict[str, float]:
        sizes = {name: await self.redis.xlen(self.keys.fixed(name)) for name in ("run", "retry")}
        sizes |= {name: await self.redis.zcard(self.keys.fixed(name)) for name in ("due", "expiry", "served")}
        sizes |= {name: await self.redis.zcard(self.keys.ring(name)) for name in ("interactive", "batch")}
        sizes |= {name: await self.counter(name) for name in ("waiting", "bytes")}
        return {name: size for name, size in sizes.items() if size}


def _words(answers: list[bytes]) -> list[str]:
    return [answer.decode() for answer in answers]
