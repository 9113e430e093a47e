"""The status document: one atomic look at each pool, turned into what people, scripts and live views read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from sluicegate.keys import PoolKeys
from sluicegate.store import Store
from sluicegate_worker.observe.upstream import describe_upstream
from sluicegate_worker.policy_settings import Policy
from sluicegate_worker.registry import decode_policy
from sluicegate_worker.script_files import SNAPSHOT
from sluicegate_worker.script_terms import pool_price_us

SCHEMA = 1
# A dispatcher with nothing to do speaks every lease/6. It is taken for dead once it has missed that three times, and
# some seconds more for a busy machine or a connection made anew: mostly before what it holds is taken from it.
SILENCES = 3
GRACE_S = 3.0
_MICRO = 1_000_000

Document = dict[str, Any]


class PoolState(NamedTuple):
    """The answer of the snapshot script, in the order of its header."""

    now_us: int
    version: bytes
    policy: bytes
    waiting: bytes
    in_flight: int
    delayed: int
    dead: int
    next_due_us: bytes
    agents_interactive: int
    agents_batch: int
    dispatchers: list[Any]
    flights: list[bytes]
    reasons: list[bytes]
    agents: list[Any]
    upstreams: list[Any]
    waiting_cost_us: bytes
    held: int
    gap_us: bytes


async def read_status(store: Store, pools: Sequence[str], agents_top: int = 20) -> Document:
    """The status of these pools; those that do not exist are left out. Raises StoreUnavailable."""
    at_us, described = 0, []
    for pool in pools:
        answer = await SNAPSHOT(store, PoolKeys(pool))
        if isinstance(answer, list):
            state = PoolState(*answer)
            at_us = state.now_us
            described.append(describe_pool(pool, state, agents_top))
    return {"schema": SCHEMA, "at": at_us / _MICRO, "pools": described}


def describe_pool(pool: str, state: PoolState, agents_top: int) -> Document:
    policy = decode_policy(pool, state.policy)
    waits = [entry for _, _, _, entry, _ in _rows(state.agents, 5) if entry]
    hashes = {name: (flat, held) for name, flat, held in _rows(state.upstreams, 3)}
    return {
        "name": pool,
        "paused": bool(state.held),
        "settings_version": int(state.version),
        "waiting": int(state.waiting),
        "in_flight": state.in_flight,
        "delayed": state.delayed,
        "dead": state.dead,
        "oldest_waiting_s": max((_age_s(entry, state.now_us) for entry in waits), default=None),
        "next_due_s": max(0.0, (float(state.next_due_us) - state.now_us) / _MICRO) if state.next_due_us else None,
        "backlog_s": max(0, int(state.waiting_cost_us)) / _MICRO,
        "fairness_gap_s": float(state.gap_us) / _MICRO,
        "agents_waiting": _count_agents(state),
        "agents": _describe_agents(state, policy)[:agents_top],
        "dead_by_reason": {reason.decode(errors="replace"): count for reason, count in Counter(state.reasons).items()},
        "dispatchers": _describe_dispatchers(state, policy),
        "upstreams": [
            describe_upstream(upstream, *hashes.get(upstream.name.encode(), ([], 0)), state.now_us)
            for upstream in policy.upstreams
        ],
    }


def _count_agents(state: PoolState) -> int:
    """An agent that waits in both lanes is one agent, as far as the script has looked."""
    seen = [agent for _, agent, *_ in _rows(state.agents, 5)]
    return state.agents_interactive + state.agents_batch - (len(seen) - len(set(seen)))


def _describe_agents(state: PoolState, policy: Policy) -> list[Document]:
    """Those that wait most come first; who only has calls in flight comes after them."""
    flights = Counter(_rows(state.flights, 2))
    waiting = {(lane, agent): rest for lane, agent, *rest in _rows(state.agents, 5)}
    described = []
    for lane, agent in waiting.keys() | {flight for flight in flights if flight[0]}:
        count, oldest, served_us = waiting.get((lane, agent), (0, b"", b"0"))
        described.append(
            {
                "agent": agent.decode(errors="replace"),
                "lane": lane.decode(errors="replace"),
                "weight": weight_of(agent.decode(errors="replace"), policy),
                "waiting": count,
                "in_flight": flights[(lane, agent)],
                "oldest_s": _age_s(oldest, state.now_us) if oldest else None,
                "eta_s": _estimate_s(lane, count, state, policy) if count else None,
                "served_cost_s": float(served_us) / _MICRO,
            }
        )
    return sorted(described, key=lambda row: (-row["waiting"], -row["in_flight"], row["agent"], row["lane"]))


def _estimate_s(lane: bytes, own: int, state: PoolState, policy: Policy) -> float:
    """Until the agent's last request is sent; the same estimate that `enqueue` gives."""
    waiting = max(own, int(state.waiting))
    ahead = waiting if lane == b"batch" else min(waiting, own * max(1, state.agents_interactive))
    cost_us = int(state.waiting_cost_us) / int(state.waiting) if int(state.waiting) > 0 else pool_price_us(policy)
    return ahead * cost_us / _MICRO


def _describe_dispatchers(state: PoolState, policy: Policy) -> list[Document]:
    described = []
    for consumer, pending, idle_ms, oldest in _rows(state.dispatchers, 4):
        name, version = split_dispatcher(consumer)
        described.append(
            {
                "id": name,
                "alive": idle_ms / 1000 < SILENCES * policy.lease_s / 6 + GRACE_S,
                "in_flight": pending,
                "oldest_s": _age_s(oldest, state.now_us) if oldest else None,
                "version": version,
            }
        )
    return sorted(described, key=lambda row: row["id"])


def split_dispatcher(consumer: bytes) -> tuple[str, str]:
    """A dispatcher's id and version, which together are its name in the consumer group."""
    name, _, version = consumer.decode(errors="replace").rpartition("@")
    return (name, version) if name else (version, "unknown")


def weight_of(agent: str, policy: Policy) -> float:
    """By the first of the pool's patterns that fits."""
    return next((weight for pattern, weight in policy.weights.items() if fnmatchcase(agent, pattern)), 1.0)


def _age_s(entry: bytes, now_us: int) -> float:
    """How long ago the entry was added; its id begins with that moment."""
    return max(0.0, now_us / _MICRO - int(entry.partition(b"-")[0]) / 1000)


def _rows(flat: Sequence[Any], width: int) -> Iterator[tuple[Any, ...]]:
    return zip(*[iter(flat)] * width, strict=True)
