"""An event loop in a thread of its own, which carries the calls of threads that have none."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future, wait
from functools import partial
from typing import Any, TypeVar

from sluicegate.errors import InvalidRequest, StoreUnavailable
from sluicegate.inbox import CLOSED

_CANCELLED_WITHIN_S = 5.0

Result = TypeVar("Result")


class Carrier:
    """Runs from its making until `stop`, in the process that made it. The thread is a daemon: a process that ends does
    not wait for it."""

    def __init__(self, name: str) -> None:
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._carry, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        """What the call returns or raises. Whoever is interrupted while waiting, by Ctrl-C or a signal's handler,
        cancels the call.

        Raises InvalidRequest in the loop's own thread, which would wait for itself, and in the child of a fork, where
        the loop does not run; StoreUnavailable when it was stopped.
        """
        if threading.get_ident() == self._thread.ident and os.getpid() == self._pid:
            call.close()
            raise InvalidRequest("a callback must not call the producer that runs it: hand the work to another thread")
        outcome, tasks = self._begin(call)
        try:
            return outcome.result()
        except CancelledError:
            if self._stopped:
                raise StoreUnavailable(CLOSED) from None
            raise
        except BaseException:
            if not outcome.done():  # interrupted: what comes next must not meet the call half done
                self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())  # noqa: PLW0108  # not there yet
                wait([outcome], timeout=_CANCELLED_WITHIN_S)
            raise

    def end(self, call: Coroutine[Any, Any, object]) -> None:
        """Carries what only puts an end to something, wherever it is asked for, the garbage collector in the loop's own
        thread included: there nobody waits for it. Where the loop does not run any more, nothing is left to end."""
        if os.getpid() != self._pid or self._stopped:
            call.close()
        elif threading.get_ident() == self._thread.ident:
            self._begin(call)
        else:
            self.run(call)

    def stop(self) -> None:
        """What still runs is cancelled; its callers hear that the producer is closed."""
        with self._lock:
            self._stopped = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _begin(self, call: Coroutine[Any, Any, Result]) -> tuple[Future[Result], list[asyncio.Task[Result]]]:
        outcome: Future[Result] = Future()
        tasks: list[asyncio.Task[Result]] = []

        def start() -> None:
            tasks.append(self._loop.create_task(call))
            tasks[0].add_done_callback(partial(_tell, outcome))

        if os.getpid() != self._pid:  # first: in the child the lock may be held by a thread that is not there
            call.close()
            raise InvalidRequest("this belongs to the process that forked: begin it anew in the child")
        with self._lock:
            if self._stopped:
                call.close()
                raise StoreUnavailable(CLOSED)
            self._loop.call_soon_threadsafe(start)
        return outcome, tasks

    def _carry(self) -> None:
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(_wait_for_all(left))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _wait_for_all(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _tell(outcome: Future[Result], task: asyncio.Task[Result]) -> None:
    if task.cancelled():
        outcome.cancel()
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())
