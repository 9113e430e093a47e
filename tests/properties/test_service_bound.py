"""I6 in random traffic: the service bound holds at every moment, whatever is refused, killed, corrected or called off.

Each history is a log of what every agent was charged and when it could be served; `support/service.py` says what is
fair.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.rows import Leased
from support.packed import parse_entry
from support.properties import PROPERTY
from support.scripts import HORIZON_US, SECOND_US, Bench, make_policy, make_upstream
from support.service import Event, find_unfair

AGENTS = ("ann", "bea", "bob", "cid", "dan", "eve")
LANES = ("interactive", "interactive", "batch")
TPM = 600_000
PRICE_US, TOKEN_US = 10_000, 100  # of a request and of a token, where the pool has one upstream without headroom
EXAMPLES = 120
HAPPENINGS = ("used", "used", "refused", "failed", "handed back", "cancelled", "killed", "time passes")

tokens = st.sampled_from([0, 10, 100, 150, 400, 1000])
arrivals = st.tuples(
    st.sampled_from(AGENTS), st.sampled_from(LANES), st.integers(1, 6), tokens, st.sampled_from([-1, 0, 50, 400])
)
happenings = st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 1000), tokens)
steps = st.tuples(st.lists(arrivals, max_size=3), st.integers(0, 8), st.lists(happenings, max_size=3), st.booleans())
policies: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    weights=st.dictionaries(st.sampled_from(["ann", "b*", "[ce]*", "*"]), st.integers(1, 8), max_size=3),
    max_in_flight_per_agent=st.sampled_from([None, None, 2]),
    batch_share=st.sampled_from([0.05, 0.5]),
    retry_share=st.sampled_from([0.2, 1.0]),
)


class Pool:
    """A pool under random traffic, and its books: what waits and flies by the answers that were heard, and the logs."""

    def __init__(self, bench: Bench, policy: Policy) -> None:
        self._bench, self._policy = bench, policy
        self._backlog: dict[str, tuple[str, str]] = {}  # id → lane and agent
        self._held: list[Leased] = []
        self._lost: dict[str, Leased] = {}
        self._waiting: set[tuple[str, str]] = set()
        self.logs: defaultdict[str, list[Event]] = defaultdict(list)

    def _weight(self, agent: str) -> float:
        return next((weight for pattern, weight in self._policy.weights.items() if fnmatch(agent, pattern)), 1)

    def _log(self, kind: Any, lane: str, agent: str, cost_us: float = 0.0) -> None:
        self.logs[lane].append(Event(kind, agent, cost_us / self._weight(agent)))

    def _look(self) -> None:
        """Who waits: who has a backlog, and is below its cap."""
        flying = Counter(one.agent for one in [*self._held, *self._lost.values()])
        cap = self._policy.max_in_flight_per_agent or len(AGENTS) * 1000
        backlogs = set(self._backlog.values())
        waiting = {(lane, agent) for lane, agent in backlogs if flying[agent] < cap}
        for lane, agent in sorted(self._waiting - waiting):
            self._log("rests", lane, agent)
            if (lane, agent) not in backlogs:
                self._log("emptied", lane, agent)
        for lane, agent in sorted(waiting - self._waiting):
            self._log("waits", lane, agent)
        self._waiting = waiting

    async def arrive(self, agent: str, lane: str, count: int, tokens_in: int, tokens_out: int) -> None:
        orders = {"lane": lane, "tokens_in": tokens_in, "tokens_out": tokens_out, "deadline_us": 3600 * SECOND_US}
        for request_id in await self._bench.submit(agent, count, **orders):
            self._backlog[request_id] = (lane, agent)
        self._look()

    async def lease(self, count: int, dispatcher: str = "d1") -> None:
        grant = await self._bench.lease(dispatcher, count=count)
        flying = dict(await self._bench.redis.xrange(self._bench.keys.fixed("run")))
        self._lost = {fence: one for fence, one in self._lost.items() if fence in flying}
        self._look()  # what was taken back from the dead came before
        for leased in grant.leased:
            kind = "served" if self._backlog.pop(leased.id, None) else "moved"
            self._log(kind, leased.lane, leased.agent, int(parse_entry(flying[leased.fence])["cost"]))
            self._held.append(leased)
            self._look()

    async def _correct(self, leased: Leased, cost_us: int) -> None:
        """Before it is let go of: by what it is charged less or more."""
        flying = dict(await self._bench.redis.xrange(self._bench.keys.fixed("run")))
        charged_us = int(parse_entry(flying[leased.fence])["cost"])
        if cost_us != charged_us:
            self._log("moved", leased.lane, leased.agent, cost_us - charged_us)

    async def happen(self, kind: str, which: int, used: int) -> None:
        if kind == "time passes":
            self._bench.advance(HORIZON_US)
        elif kind == "cancelled" and self._backlog:
            request_id = sorted(self._backlog)[which % len(self._backlog)]
            await self._bench.cancel(request_id)
            del self._backlog[request_id]
        elif kind == "killed":
            self._lost |= {leased.fence: leased for leased in self._held}
            self._held.clear()
            await self._outlive()
        elif self._held and kind != "cancelled":
            await self._end(kind, self._held.pop(which % len(self._held)), used)
        self._look()

    async def _end(self, kind: str, leased: Leased, used: int) -> None:
        if kind == "used":
            await self._correct(leased, max(PRICE_US, (used + used // 2) * TOKEN_US))
            await self._bench.settle(leased, usage=f"{used} {used // 2} {used} {used // 2}")
        elif kind == "refused":
            await self._bench.retry(leased, used=0, pause_us=HORIZON_US, fault="rate")
        elif kind == "failed":
            await self._bench.retry(leased, delay_us=HORIZON_US, fault="failure")
        elif kind == "handed back":
            await self._correct(leased, 0)
            await self._bench.retry(leased, delay_us=0, used=0, sent=False)

    async def _outlive(self) -> None:
        """Until what the dead held is taken back: two leases, in which the living look for work."""
        for _ in range(8):
            self._bench.advance(3 * SECOND_US)
            await self.lease(0, "d2")


# Not shrunk: that takes minutes, and the histories are the same ones every time.
@settings(PROPERTY, max_examples=EXAMPLES, derandomize=True, phases=[Phase.generate])
@given(rules=policies, steps=st.lists(steps, min_size=5, max_size=30), disturbed=st.booleans())
async def test_of_agents_that_wait_none_is_served_ahead_of_its_share(
    bench: Bench, rules: dict[str, Any], steps: Sequence[Any], disturbed: bool
) -> None:
    """Undisturbed, what any two of a lane were charged differs by one request of each at most."""
    upstream = make_upstream("a", tpm=TPM, provider="generic")
    policy = make_policy(upstreams=(upstream,), poison_after=1000, **rules)
    await bench.begin_again(policy)
    pool = Pool(bench, policy)
    for arriving, count, happening, patient in steps:
        for arrival in arriving:
            await pool.arrive(*arrival)
        for event in happening if disturbed else ():
            await pool.happen(*event)
        bench.advance(SECOND_US if patient else HORIZON_US)
        await pool.lease(count)
    for lane, log in pool.logs.items():
        assert find_unfair(log) == 0, lane
