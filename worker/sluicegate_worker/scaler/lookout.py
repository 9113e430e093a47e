"""Looks at every pool every second, and answers from what it saw: what a pool wants, now and by its recent past."""

import asyncio
import time
from collections import deque
from typing import Any, Literal

from sluicegate.errors import StoreUnavailable
from sluicegate.store import Store
from sluicegate_worker.observe.snapshot import read_status
from sluicegate_worker.registry import list_pools
from sluicegate_worker.scaler.demand import Agenting, Feed, Look, mean_call_s, want_agents, want_dispatchers
from sluicegate_worker.scaler.wish import RISE_S_MAX, InvalidWish, Wish

INTERVAL_S = 1.0
FRESH_S = 4.0  # what was seen longer ago is no answer
_PATIENCE_S = 2.0
_CALLS_S = 60.0

Document = dict[str, Any]


class NotSeen(Exception):
    """No answer can be given; `why` is "store" where Redis is not to be read, "pool" where there is no such pool."""

    def __init__(self, why: Literal["store", "pool"], sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


class Past:
    """What was seen of one pool, with the monotonic times, for as long as any wish may look back."""

    def __init__(self) -> None:
        self.looks: deque[tuple[float, Look]] = deque()
        self._call_s: float | None = None

    def add(self, now: float, look: Look) -> None:
        self.looks.append((now, look))
        while self.looks[0][0] < now - RISE_S_MAX:
            self.looks.popleft()

    def since(self, moment: float) -> list[Look]:
        """The newest in any case."""
        return [look for at, look in self.looks if at >= moment] or [self.looks[-1][1]]

    def call_s(self, now: float) -> float | None:
        """As it was when calls were last seen."""
        self._call_s = mean_call_s(self.since(now - _CALLS_S)) or self._call_s
        return self._call_s


class Lookout:
    """`run` looks until it is cancelled, and goes on while Redis is away: who asks is told so, and a scaler that ended
    itself would be slow to come back. `changed` is notified after each look."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._pasts: dict[str, Past] = {}
        self._seen_at = float("-inf")
        self._trouble = "it was not asked yet"
        self.changed = asyncio.Condition()

    async def run(self) -> None:
        """Raises InvalidRequest where the URL is none."""
        while True:
            try:
                async with Store(self._redis_url) as store:
                    while True:
                        async with asyncio.timeout(_PATIENCE_S):
                            await self._look(store)
                        await self._rest()
            except (StoreUnavailable, TimeoutError) as error:
                self._trouble = str(error) or f"no answer within {_PATIENCE_S:.0f} s"
            await self._rest()

    async def _rest(self) -> None:
        async with self.changed:
            self.changed.notify_all()
        await asyncio.sleep(INTERVAL_S)

    async def _look(self, store: Store) -> None:
        document = await read_status(store, await list_pools(store), 0)
        now = time.monotonic()
        found = {pool["name"]: read_look(pool) for pool in document["pools"]}
        self._pasts = {name: self._pasts.get(name) or Past() for name in found}
        for name, look in found.items():
            self._pasts[name].add(now, look)
        self._seen_at = now

    @property
    def sees(self) -> bool:
        return time.monotonic() - self._seen_at <= FRESH_S

    def answer(self, wish: Wish) -> float:
        """How many replicas, to be rounded up. Raises NotSeen, never a guess: 0 would scale everything away. Raises
        InvalidWish where nothing bounds the answer."""
        past = self._past_of(wish.pool)
        now = time.monotonic()
        wanted: float | None
        if isinstance(wish.terms, Agenting):
            wanted = want_agents(past.since(now - wish.terms.rise_s), wish.terms)
        else:
            wanted = want_dispatchers(past.since(now)[-1], past.call_s(now), wish.terms)
        if wanted is None:
            if wish.most is None:
                raise InvalidWish(f"no limit of pool {wish.pool} bounds its agents: give max")
            wanted = wish.most
        return max(wish.least, wanted if wish.most is None else min(wanted, wish.most))

    def check(self, pool: str) -> None:
        """Raises NotSeen."""
        self._past_of(pool)

    def _past_of(self, pool: str) -> Past:
        if not self.sees:
            raise NotSeen("store", f"Redis was not read for {FRESH_S:.0f} s: {self._trouble}")
        if pool not in self._pasts:
            raise NotSeen("pool", f"there is no pool {pool}: start a dispatcher or run `sluicegate pool apply`")
        return self._pasts[pool]


def read_look(pool: Document) -> Look:
    """Of one pool of the status document."""
    upstreams = pool["upstreams"]
    calls = sum(upstream["calls_60s"] for upstream in upstreams)
    tpm = sum(upstream["actual"]["tpm"] for upstream in upstreams)
    return Look(
        waiting=pool["waiting"],
        delayed=pool["delayed"],
        in_flight=pool["in_flight"],
        backlog_s=pool["backlog_s"],
        rpm=sum(upstream["actual"]["rpm"] for upstream in upstreams),
        tpm=tpm,
        tokens=tpm / calls if calls else None,
        feeds=tuple(_read_feed(upstream) for upstream in upstreams),
    )


def _read_feed(upstream: Document) -> Feed:
    """`paced` is of the limit, less headroom and what feedback has taken off."""
    paced, left = upstream["paced"], upstream["left_24h"]
    is_open = not upstream["pause_s"] and upstream["pause_reason"] is None and upstream["breaker"] == "closed"
    return Feed(paced.get("rpm"), _scarcest(paced), left.get("rpd"), left.get("tpd"), is_open)


def _scarcest(paced: Document) -> float | None:
    """Tokens a minute, of whichever kind is limited."""
    return min((paced[name] for name in ("tpm", "itpm", "otpm") if paced.get(name) is not None), default=None)
