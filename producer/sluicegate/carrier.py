"""An event loop in a thread of its own, which carries the calls of threads that have none."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

from sluicegate.errors import InvalidRequest

_CANCELLED_WITHIN_S = 5.0

Result = TypeVar("Result")


class Carrier:
    """Runs from its making until `stop`. The thread is a daemon: a process that ends does not wait for it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        """What the call returns or raises. Whoever is interrupted while waiting, by Ctrl-C or a signal's handler,
        cancels the call. Raises InvalidRequest in the loop's own thread, which would wait for itself."""
        if threading.get_ident() == self._thread.ident:
            call.close()
            raise InvalidRequest("a callback must not call the producer that runs it: hand the work to another thread")
        outcome: Future[Result] = Future()
        tasks: list[asyncio.Task[Result]] = []

        def start() -> None:
            tasks.append(self._loop.create_task(call))
            tasks[0].add_done_callback(partial(_tell, outcome))

        self._loop.call_soon_threadsafe(start)
        try:
            return outcome.result()
        except BaseException:
            if not outcome.done():  # interrupted: what comes next must not meet the call half done
                self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())  # noqa: PLW0108  # not there yet
                wait([outcome], timeout=_CANCELLED_WITHIN_S)
            raise

    def stop(self) -> None:
        """Call it when nothing runs any more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _tell(outcome: "Future[Result]", task: "asyncio.Task[Result]") -> None:
    if task.cancelled():
        outcome.cancel()
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())
