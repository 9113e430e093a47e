"""What a step costs the server: the time that Redis itself counts for a script, pools of different sizes in turn."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, pairwise, product
from statistics import median
from typing import Any, NamedTuple

from sluicegate.keys import PoolKeys
from sluicegate.script_files import ENQUEUE
from sluicegate.store import Store
from sluicegate.wire import ReplyHead, Submission, encode_reply
from sluicegate_worker.policy_settings import Policy, UpstreamPolicy
from sluicegate_worker.registry import apply_policy
from sluicegate_worker.rows import Leased, SettleRow, read_grant
from sluicegate_worker.script_files import LEASE, SETTLE

VERBS = ("enqueue", "lease", "settle")
BODY = b'{"input":"' + b"x" * 488 + b'"}'
AT_ONCE = 200
BYTES_AT_ONCE = 1 << 20
USAGE = "100 50 90 40"  # tokens in and out, as the provider counted them and as they were really used
ENDLESS = 1_000_000_000


class Size(NamedTuple):
    """`requests` of `agents` wait, as many of each."""

    agents: int
    requests: int


class Cost(NamedTuple):
    """Of one size and batch: medians over rounds, in microseconds of the server's time for one request."""

    agents: int
    requests: int
    batch: int
    us: dict[str, float]
    ratio: dict[str, float]  # to the first size, at the same batch


class CrowdedPool:
    """A pool in which a crowd waits. A limit there is, but none that keeps anybody waiting."""

    def __init__(self, store: Store, name: str, size: Size) -> None:
        self.size = size
        self.memory_per_request = 0.0
        self._store, self._keys = store, PoolKeys(name)
        self._serial = count()

    async def fill(self) -> None:
        """Memory is told of the whole server: pools are filled one after the other."""
        upstream = UpstreamPolicy(
            name="a", provider="openai", rpm=60_000_000, tpm=1_000_000_000_000, max_in_flight=ENDLESS
        )
        policy = Policy(
            upstreams=(upstream,), max_backlog=ENDLESS, max_backlog_per_agent=ENDLESS, max_backlog_bytes=10**15,
            deadline_s=86_400,
        )  # fmt: skip
        await apply_policy(self._store, self._keys.pool, policy, who="bench")
        await self.enqueue([])  # the script's own memory is none of the requests'
        before = await _read_memory(self._store)
        for first in range(0, self.size.requests, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, self.size.requests))
            await self.enqueue(f"agent{number % self.size.agents}" for number in numbers)
        self.memory_per_request = (await _read_memory(self._store) - before) / self.size.requests

    async def enqueue(self, agents: Iterable[str]) -> None:
        answer = await ENQUEUE(self._store, self._keys, ("p1",), [self._order(agent) for agent in agents])
        if any(row[0] != b"waiting" for row in answer[1:]):
            raise RuntimeError(f"not all of {len(answer) - 1} requests wait: the first is {answer[1][0].decode()}")

    async def lease(self, requests: int) -> list[Leased]:
        answer = await LEASE(self._store, self._keys, ("d1", requests, BYTES_AT_ONCE, 0), [("a",)])
        grant = read_grant(answer)
        if len(grant.leased) != requests:
            raise RuntimeError(f"leased {len(grant.leased)} of {requests} requests: {grant.verdict}")
        return grant.leased

    async def settle(self, leased: Sequence[Leased]) -> None:
        rows = [SettleRow(one.fence, one.id, one.upstream, _reply_to(one), USAGE, "") for one in leased]
        await SETTLE(self._store, self._keys, (), rows)

    def _order(self, agent: str) -> Submission:
        head = b'{"method":"POST","path":"/embeddings"}'
        request_id = f"0192f0c1-7a3b-7c4d-8e5f-{next(self._serial):012d}"
        return Submission(request_id, agent, "interactive", "", "d" * 32, head, BODY, 0, 0, "retry", "small", 100, 50)


async def measure_costs(pools: Sequence[CrowdedPool], batches: Sequence[int], rounds: int, store: Store) -> list[Cost]:
    """Whatever disturbs the machine meets all sizes alike: each round has every size and batch once."""
    taken: defaultdict[tuple[Size, int, str], list[float]] = defaultdict(list)
    for number in range(rounds):
        turns = list(product(batches, pools))
        for batch, pool in turns if number % 2 else reversed(turns):
            for verb, us in (await _take_turn(pool, batch, store)).items():
                taken[pool.size, batch, verb].append(us / batch)
    medians = {key: median(values) for key, values in taken.items()}
    return list(_compare([pool.size for pool in pools], batches, medians))


def _compare(
    sizes: Sequence[Size], batches: Sequence[int], medians: dict[tuple[Size, int, str], float]
) -> Iterator[Cost]:
    for batch, size in product(batches, sizes):
        us = {verb: medians[size, batch, verb] for verb in VERBS}
        yield Cost(*size, batch, us, {verb: us[verb] / medians[sizes[0], batch, verb] for verb in VERBS})


async def _take_turn(pool: CrowdedPool, batch: int, store: Store) -> dict[str, int]:
    """Leases, settles, and puts as much in its place."""
    marks_us = [await _read_script_us(store)]
    leased = await pool.lease(batch)
    marks_us.append(await _read_script_us(store))
    await pool.settle(leased)
    marks_us.append(await _read_script_us(store))
    await pool.enqueue(one.agent for one in leased)
    marks_us.append(await _read_script_us(store))
    return {
        verb: after - before
        for verb, (before, after) in zip(("lease", "settle", "enqueue"), pairwise(marks_us), strict=True)
    }


async def _read_script_us(store: Store) -> int:
    """All the server's time in scripts so far, as it counts it itself."""
    stats: dict[str, Any] = await store.call("INFO", "commandstats")
    return sum(stats[name]["usec"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats)


async def _read_memory(store: Store) -> int:
    return int((await store.call("INFO", "memory"))["used_memory"])


def _reply_to(leased: Leased) -> bytes:
    return encode_reply(ReplyHead("ok", leased.agent, leased.digest, leased.sends, status=200), b"{}")
