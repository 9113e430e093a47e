"""Random histories under every kind of limit: no window holds too much, pauses hold, and probes are not lost."""

from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sluicegate_worker.policy_settings import Breaker, Policy, UpstreamPolicy
from sluicegate_worker.rows import Leased
from support.driver import Driver, run_histories
from support.history import Worker
from support.scripts import SECOND_US, make_policy, make_upstream
from support.traffic_history import TrafficHistory, Usage

WORKERS = 2
STEPS = 35
FAULTS = ("rate", "rate", "rate", "ramp", "failure", "failure", "overload", "credentials", "quota")

number = st.integers(0, 1000)
tokens = st.sampled_from([0, 1, 20, 50, 300])
usages = st.none() | st.builds(Usage, tokens, tokens)
limits = st.sampled_from(
    [{"tpm": 600_000}, {"tpm": 6_000_000}, {"itpm": 300_000, "otpm": 90_000}, {"tpm": 600_000, "otpm": 90_000}]
)
reports = st.sampled_from(
    [
        "", "", "rpm 3000 2 500000", "rpm - 0 900000", "tpm 30000 100 2000000", "tpm 900000 - -",
        "rpm 60 0 60000000;otpm - 5 3000000",
    ]
)  # fmt: skip


@st.composite
def upstreams(draw: st.DrawFn) -> tuple[UpstreamPolicy, ...]:
    names = draw(st.sampled_from(["a", "a", "ab"]))
    providers = st.sampled_from(["openai", "anthropic", "gemini", "generic"])
    rates, headrooms = st.sampled_from([6000, 600, None]), st.sampled_from([0, 0.025])
    return tuple(
        make_upstream(name, provider=draw(providers), rpm=draw(rates), headroom=draw(headrooms), **draw(limits))
        for name in names
    )


policies = st.builds(
    make_policy,
    upstreams=upstreams(),
    poison_after=st.just(1000),  # which has histories of its own: nothing is leased alone here
    weights=st.sampled_from([{}, {"ann": 3, "b*": 0.5}]),
    max_in_flight_per_agent=st.sampled_from([None, None, 1, 3]),
    breaker=st.just(Breaker(failures=2, share=0.5, open_s=1, cap_s=4)),
)


class RandomTraffic(RuleBasedStateMachine):
    """A rule is one thing that happens; `pick` chooses among those whom it can happen to."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    @initialize(policy=policies)
    def begin(self, policy: Policy) -> None:
        self._run(self._driver.bench.begin_again(policy))
        self._history = TrafficHistory(self._driver.bench, WORKERS, policy)
        self._names = [upstream.name for upstream in policy.upstreams]

    def _run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self._driver.run(step)

    def _worker(self, pick: int) -> Worker:
        return self._history.workers[pick % WORKERS]

    def _flights(self, *, sent: bool) -> list[tuple[Worker, Leased]]:
        return [(w, one) for w in self._history.workers for f, one in w.held.items() if (f in w.sent) == sent]

    def _flight(self, pick: int, *, sent: bool = True) -> tuple[Worker, Leased]:
        flights = self._flights(sent=sent)
        return flights[pick % len(flights)]

    def has_unsent(self) -> bool:
        return bool(self._flights(sent=False))

    def has_sent(self) -> bool:
        return bool(self._flights(sent=True))

    def has_orders(self) -> bool:
        return bool(self._history.orders)

    def has_broken(self) -> bool:
        return any(self._history.may_probe(name) for name in self._names)

    @rule(
        agent=st.sampled_from(["ann", "bob", "bea"]), lane=st.sampled_from(["interactive", "interactive", "batch"]),
        model=st.sampled_from(["m", "n"]), tokens_in=tokens, tokens_out=st.sampled_from([-1, 0, 0, 20, 300]),
        deadline_s=st.sampled_from([5, 300, 300]), count=st.integers(1, 5),
    )  # fmt: skip
    def enqueue(
        self, agent: str, lane: str, model: str, tokens_in: int, tokens_out: int, deadline_s: int, count: int
    ) -> None:
        for _ in range(count):
            order = self._driver.bench.order(
                agent, lane=lane, model=model, tokens_in=tokens_in, tokens_out=tokens_out,
                deadline_us=deadline_s * SECOND_US,
            )  # fmt: skip
            self._run(self._history.enqueue(order))

    @rule(pick=number, count=st.integers(1, 5), answer=st.sampled_from(["heard", "heard", "heard", "late", "lost"]))
    def lease(self, pick: int, count: int, answer: str) -> None:
        self._run(self._history.lease(self._worker(pick), count, answer))

    @rule(pick=number, count=st.integers(2, 5))
    def call(self, pick: int, count: int) -> None:
        """Leases and sends, as what has nothing in its way does."""
        for agent in ("ann", "bob", "bea"):
            self._run(self._history.enqueue(self._driver.bench.order(agent, tokens_in=20, deadline_us=300 * SECOND_US)))
        worker = self._worker(pick)
        known = set(worker.held)
        self._run(self._history.lease(worker, count, "heard"))
        for leased in [one for fence, one in worker.held.items() if fence not in known]:
            self._run(self._history.send(worker, leased))

    @precondition(has_unsent)
    @rule(pick=number, late=st.sampled_from([False, False, True]))
    def send(self, pick: int, late: bool) -> None:
        worker, leased = self._flight(pick, sent=False)
        if late:
            self._driver.bench.advance(max(0, leased.slot_us - self._driver.bench.now_us) + SECOND_US // 10)
        self._run(self._history.send(worker, leased))

    @precondition(has_unsent)
    @rule(pick=number)
    def hand_back(self, pick: int) -> None:
        self._run(self._history.hand_back(*self._flight(pick, sent=False)))

    @precondition(has_sent)
    @rule(pick=number, usage=usages, reported=reports)
    def answer(self, pick: int, usage: Usage | None, reported: str) -> None:
        self._run(self._history.answer(*self._flight(pick), usage, reported))

    @precondition(has_sent)
    @rule(fault=st.sampled_from(FAULTS), pauses_s=st.lists(st.sampled_from([0, 0.3, 2, 5]), min_size=2, max_size=4))
    def refuse(self, fault: str, pauses_s: list[float]) -> None:
        """One call after the other, as long as there are some."""
        for (worker, leased), pause_s in zip(self._flights(sent=True), pauses_s, strict=False):
            self._run(self._history.refuse(worker, leased, fault, int(pause_s * SECOND_US)))
            self._run(self._history.check())

    @precondition(has_sent)
    @rule(pick=number)
    def bury(self, pick: int) -> None:
        self._run(self._history.bury(*self._flight(pick)))

    @precondition(has_orders)
    @rule(which=number)
    def cancel(self, which: int) -> None:
        orders = self._history.orders
        self._run(self._driver.bench.cancel(orders[which % len(orders)].id))

    @rule(which=number, pool=st.booleans(), held=st.sampled_from([True, False, False, False, False]))
    def hold(self, which: int, pool: bool, held: bool) -> None:
        name = "" if pool else self._names[which % len(self._names)]
        self._run(self._history.hold(name, held=held))

    @precondition(has_broken)
    @rule(which=number)
    def await_probe(self, which: int) -> None:
        broken = [name for name in self._names if self._history.may_probe(name)]
        self._run(self._history.await_probe(broken[which % len(broken)]))

    @rule(seconds=st.sampled_from([0.01, 0.02, 0.05, 0.2, 1, 6]))
    def live(self, seconds: float) -> None:
        self._run(self._history.live(seconds))

    @rule(pick=number, seconds=st.sampled_from([2, 25]))
    def stall(self, pick: int, seconds: float) -> None:
        self._run(self._history.live(seconds, self._worker(pick)))

    @rule(pick=number)
    def crash(self, pick: int) -> None:
        self._history.crash(self._worker(pick))

    @invariant()
    def everything_is_right(self) -> None:
        self._run(self._history.check())

    def teardown(self) -> None:
        for name in ("", *self._names):  # what is held would be there until its deadline
            self._run(self._history.hold(name, held=False))
        self._run(self._driver.bench.come_to_rest())


@pytest.fixture
def driver(redis_url: str) -> Iterator[Driver]:
    running = Driver(redis_url)
    try:
        yield running
    finally:
        running.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [60, pytest.param(600, marks=pytest.mark.full)])
def test_no_history_exceeds_a_limit_or_loses_a_probe(driver: Driver, examples: int) -> None:
    run_histories(lambda: RandomTraffic(driver), examples, STEPS)
