"""What runs random histories of the scripts: one bench and one event loop for all of them."""

from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from support.scripts import Bench


class Driver:
    """One bench for all histories: each begins with an empty database."""

    def __init__(self, url: str) -> None:
        self._loop = uvloop.new_event_loop()  # and no asyncio.Runner: both cost more than the steps themselves
        self.bench = Bench(url)
        self.run(self.bench.__aenter__())

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(step)

    def close(self) -> None:
        # As after an error: each history comes to rest by itself.
        self.run(self.bench.__aexit__(ValueError, None, None))
        self._loop.close()


def run_histories(begin: Callable[[], RuleBasedStateMachine], examples: int, steps: int) -> None:
    """The same ones every time."""
    run_state_machine_as_test(
        begin,  # type: ignore[arg-type]  # it takes whatever makes a machine
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
