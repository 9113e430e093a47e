"""Random histories of the real scripts, by a clock of their own: nothing is lost, paid for twice, or left."""

from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sluicegate_worker.rows import Leased
from support.driver import Driver, run_histories
from support.history import History, Worker
from support.scripts import SECOND_US, make_policy

WORKERS = 3
STEPS = 30

number = st.integers(0, 1000)


class RandomHistory(RuleBasedStateMachine):
    """A rule is one thing that happens; `pick` and `which` choose among those whom it can happen to."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver
        self._run(driver.bench.begin_again(make_policy(poison_after=3)))
        self._history = History(driver.bench, WORKERS)

    def _run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self._driver.run(step)

    def _worker(self, pick: int) -> Worker:
        return self._history.workers[pick % len(self._history.workers)]

    def _flights(self, *, sent: bool) -> list[tuple[Worker, Leased]]:
        return [(w, one) for w in self._history.workers for f, one in w.held.items() if (f in w.sent) == sent]

    def _unsent(self, pick: int) -> tuple[Worker, Leased]:
        flights = self._flights(sent=False)
        return flights[pick % len(flights)]

    def _sent(self, pick: int) -> tuple[Worker, Leased]:
        flights = self._flights(sent=True)
        return flights[pick % len(flights)]

    @property
    def _ids(self) -> list[str]:
        return [order.id for order in self._history.orders]

    def has_unsent(self) -> bool:
        return bool(self._flights(sent=False))

    def has_sent(self) -> bool:
        return bool(self._flights(sent=True))

    def has_orders(self) -> bool:
        return bool(self._history.orders)

    @rule(
        agent=st.sampled_from(["ann", "bob"]), lane=st.sampled_from(["interactive", "interactive", "batch"]),
        key=st.sampled_from(["", "", "k"]), deadline_s=st.sampled_from([2, 12, 300, 300, 300]),
        not_before_s=st.sampled_from([0, 0, 0, 1.5]), on_unknown=st.sampled_from(["retry", "retry", "retry", "dead"]),
    )  # fmt: skip
    def enqueue(self, agent: str, lane: str, key: str, deadline_s: int, not_before_s: float, on_unknown: str) -> None:
        order = self._driver.bench.order(
            agent, lane=lane, key=key, deadline_us=deadline_s * SECOND_US, not_before_us=int(not_before_s * SECOND_US),
            on_unknown=on_unknown,
        )  # fmt: skip
        self._run(self._history.enqueue(order))

    @precondition(has_orders)
    @rule(which=number)
    def enqueue_again(self, which: int) -> None:
        self._run(self._history.enqueue(self._history.orders[which % len(self._history.orders)]))

    @rule(pick=number, count=st.integers(1, 3), answer=st.sampled_from(["heard", "heard", "heard", "late", "lost"]))
    def lease(self, pick: int, count: int, answer: str) -> None:
        self._run(self._history.lease(self._worker(pick), count, answer))

    @precondition(has_unsent)
    @rule(pick=number)
    def send(self, pick: int) -> None:
        self._run(self._history.send(*self._unsent(pick)))

    @precondition(has_unsent)
    @rule(pick=number)
    def hand_back(self, pick: int) -> None:
        self._run(self._history.hand_back(*self._unsent(pick)))

    @precondition(has_sent)
    @rule(pick=number, heard=st.booleans())
    def settle(self, pick: int, heard: bool) -> None:
        self._run(self._history.settle(*self._sent(pick), heard=heard))

    @precondition(has_sent)
    @rule(pick=number, delay_s=st.sampled_from([0, 0.5, 20]))
    def fail(self, pick: int, delay_s: float) -> None:
        self._run(self._history.fail(*self._sent(pick), delay_us=int(delay_s * SECOND_US)))

    @precondition(has_sent)
    @rule(pick=number)
    def bury(self, pick: int) -> None:
        self._run(self._history.bury(*self._sent(pick)))

    @precondition(has_orders)
    @rule(which=number)
    def cancel(self, which: int) -> None:
        self._run(self._driver.bench.cancel(self._ids[which % len(self._ids)]))

    @precondition(has_orders)
    @rule(which=number)
    def watch(self, which: int) -> None:
        self._run(self._driver.bench.watch(self._ids[which % len(self._ids)], producer="p2"))

    @precondition(has_orders)
    @rule(which=number)
    def replay(self, which: int) -> None:
        self._run(self._history.replay(self._ids[which % len(self._ids)]))

    @precondition(has_orders)
    @rule(which=number)
    def retry_now(self, which: int) -> None:
        self._run(self._driver.bench.retry_now(self._ids[which % len(self._ids)]))

    @rule(seconds=st.sampled_from([0.02, 0.5, 3, 9]))
    def live(self, seconds: float) -> None:
        self._run(self._history.live(seconds))

    @rule(pick=number, seconds=st.sampled_from([2, 12, 12, 25]))
    def stall(self, pick: int, seconds: float) -> None:
        self._run(self._history.live(seconds, self._worker(pick)))

    @rule(seconds=st.sampled_from([2, 4, 9, 30]))
    def stand_still(self, seconds: float) -> None:
        self._run(self._history.stand_still(seconds))

    @rule(pick=number)
    def crash(self, pick: int) -> None:
        self._history.crash(self._worker(pick))

    @rule(pick=number)
    def leave(self, pick: int) -> None:
        worker = self._worker(pick)
        if not worker.held:
            self._run(self._history.leave(worker))

    @invariant()
    def everything_is_right(self) -> None:
        self._run(self._history.check())

    def teardown(self) -> None:
        self._run(self._driver.bench.come_to_rest())
        self._run(self._history.check())


@pytest.fixture
def driver(redis_url: str) -> Iterator[Driver]:
    running = Driver(redis_url)
    try:
        yield running
    finally:
        running.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [300, pytest.param(1200, marks=pytest.mark.full)])
def test_no_history_loses_or_pays_twice(driver: Driver, examples: int) -> None:
    run_histories(lambda: RandomHistory(driver), examples, STEPS)
