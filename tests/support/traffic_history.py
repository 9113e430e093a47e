"""A history under limits of all kinds, upstreams that refuse and fail, and operators: what holds after each step.

Of each step the contents before and after are compared, so that a step hands out slots by one script at most.
"""

from collections import Counter
from typing import Any, NamedTuple

from sluicegate_worker.policy_settings import Policy, UpstreamPolicy
from sluicegate_worker.rows import Leased
from sluicegate_worker.script_terms import script_fields
from sluicegate_worker.upstream.accounting import ACCOUNTING
from support.consistency import find_contradictions
from support.contents import Contents, read_contents
from support.history import History, Worker
from support.scripts import POOL, SECOND_US, Bench
from support.spacing import Amounts, Spacing

TOKENS = ("tpm", "itpm", "otpm")


class Usage(NamedTuple):
    """What the provider has counted; its agent is charged the same."""

    tokens_in: int
    tokens_out: int


class TrafficHistory(History):
    """Also keeps what each upstream was asked for, by its slots."""

    def __init__(self, bench: Bench, workers: int, policy: Policy) -> None:
        super().__init__(bench, workers)
        self._policy = policy
        self._upstreams = {upstream.name: upstream for upstream in policy.upstreams}
        self._spacing = {name: Spacing(_prices_us(policy, upstream)) for name, upstream in self._upstreams.items()}
        self._before: Contents = {}
        self._resumed: set[str] = set()

    async def answer(self, worker: Worker, leased: Leased, usage: Usage | None, reported: str) -> None:
        if usage:
            self._correct(leased, *usage)
        said = " ".join(map(str, (*usage, *usage))) if usage else ""
        await self._bench.settle(leased, usage=said, reported=reported)
        self._forget(worker, leased)

    async def refuse(self, worker: Worker, leased: Leased, fault: str, pause_us: int) -> None:
        """By the upstream, so that no tokens were used; a failure may have used them."""
        if fault not in ("failure", "overload"):
            self._correct(leased, 0, 0)
        used = int(fault == "failure")
        if await self._bench.retry(leased, delay_us=SECOND_US, used=used, pause_us=pause_us, fault=fault) != ["lost"]:
            self._allowed[leased.id] += 1
        self._forget(worker, leased)

    async def hand_back(self, worker: Worker, leased: Leased) -> None:
        self._correct(leased, 0, 0)
        await super().hand_back(worker, leased)

    async def hold(self, upstream: str, *, held: bool) -> None:
        """Going on ends pauses and closes breakers."""
        await self._bench.hold(upstream, held=held)
        if not held:
            self._resumed = {upstream} if upstream else set(self._upstreams)

    async def await_probe(self, upstream: str) -> None:
        """When the time of its breaker is over, and no probe is under way, whoever asks for work is given one."""
        await self.enqueue(self._bench.order(f"seeker{self._bench.now_us}", deadline_us=7200 * SECOND_US))
        ahead_us = self._opens_us(await read_contents(self._bench.redis), upstream) - self._bench.now_us
        await self.stand_still(max(0, ahead_us) / SECOND_US)
        if not self.may_probe(upstream, await read_contents(self._bench.redis)):
            return  # it closed meanwhile
        worker = self.workers[0]
        grant = await self._bench.lease(worker.name, count=3, upstreams=[upstream])
        assert len(grant.leased) == 1, f"no probe of {upstream}, or more than one: {grant}"
        worker.known_us = grant.now_us
        worker.held |= {leased.fence: leased for leased in grant.leased}

    def may_probe(self, upstream: str, contents: Contents | None = None) -> bool:
        """Its breaker is not closed, nobody holds it, and the last probe's entry is gone."""
        now = self._before if contents is None else contents
        state, config = _hash(now, f"upstream:{upstream}"), _hash(now, "config")
        held = "held" in config or f"held:{upstream}" in config
        return "breaker" in state and not held and state.get("probe") not in _hash(now, "run")

    @staticmethod
    def _opens_us(contents: Contents, upstream: str) -> int:
        state = _hash(contents, f"upstream:{upstream}")
        moments = ["pause_until_us", "open_until_us", *(name for name in state if name.startswith("tat_us:"))]
        return max(int(float(state.get(moment, 0))) for moment in moments)

    def _correct(self, leased: Leased, tokens_in: int, tokens_out: int) -> None:
        """Only while its entry is there: who has lost it corrects nothing any more."""
        entry = _hash(self._before, "run").get(leased.fence)
        if entry is not None:
            amounts = _amounts(self._upstreams[leased.upstream], tokens_in, tokens_out)
            self._spacing[leased.upstream].correct(int(entry["slot_us"]), leased.fence, amounts)

    async def check(self) -> None:
        """I2 to I4, that everything agrees with itself, and what holds of caps, pauses, operators and breakers."""
        after = await read_contents(self._bench.redis)
        assert find_contradictions(after, POOL) == []
        await self.check_calls()
        for taken in self._bench.taken:
            self._check_slot(taken, after)
        self._check_pauses(after)
        self._check_caps(after)
        self._bench.taken.clear()
        self._before = after

    def _check_slot(self, taken: Leased, after: Contents) -> None:
        name, state, run = taken.upstream, _hash(after, f"upstream:{taken.upstream}"), _hash(after, "run")
        entry, config = run[taken.fence], _hash(after, "config")
        prices_us = {dimension: float(state[f"price_us:{dimension}"]) for dimension in self._dimensions(name)}
        amounts = _amounts(self._upstreams[name], int(entry["tokens_in"]), int(entry["tokens_out"]))
        self._spacing[name].take(taken.slot_us, taken.fence, amounts, prices_us)
        assert taken.slot_us >= int(state.get("pause_until_us", 0)), f"{name} is called while it is paused"
        assert not {"held", f"held:{name}"} & set(config), f"{name} is called while it is held"
        if "breaker" in state:
            assert state.get("probe") == taken.fence, f"{name} is called while its breaker is {state['breaker']}"
            assert taken.slot_us >= int(state["open_until_us"]), f"{name} has a probe before its time"
            last = _hash(self._before, f"upstream:{name}").get("probe", taken.fence)
            assert last == taken.fence or last not in run, f"{name} has two probes under way"

    def _dimensions(self, name: str) -> list[str]:
        return ["rpm", *(one for one in TOKENS if getattr(self._upstreams[name], one))]

    def _check_pauses(self, after: Contents) -> None:
        for name in self._upstreams:
            until_us, was_us = (
                int(_hash(contents, f"upstream:{name}").get("pause_until_us", 0)) for contents in (after, self._before)
            )
            assert until_us >= was_us or name in self._resumed, f"the pause of {name} ends sooner"
        self._resumed = set()

    def _check_caps(self, after: Contents) -> None:
        cap = self._policy.max_in_flight_per_agent
        flying = Counter(entry["agent"] for entry in _hash(after, "run").values())
        assert cap is None or all(count <= cap for count in flying.values()), f"more than {cap} in flight: {flying}"


def _hash(contents: Contents, name: str) -> Any:
    key = contents.get(f"sg:{{{POOL}}}:{name}")
    return key.value if key else {}


def _amounts(upstream: UpstreamPolicy, tokens_in: int, tokens_out: int) -> Amounts:
    both = tokens_in + tokens_out if ACCOUNTING[upstream.provider].counts_output else tokens_in
    return {"rpm": 1, "tpm": both, "itpm": tokens_in, "otpm": tokens_out}


def _prices_us(policy: Policy, upstream: UpstreamPolicy) -> dict[str, float]:
    """What a unit costs by the policy, of each dimension that it limits."""
    fields = dict(script_fields(policy))
    names = {"rpm": f"price_us:{upstream.name}"} | {one: f"{one}_price_us:{upstream.name}" for one in TOKENS}
    return {dimension: float(fields[name]) for dimension, name in names.items() if name in fields}
