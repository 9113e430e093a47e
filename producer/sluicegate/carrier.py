"""An event loop in a thread of its own, which carries the calls of threads that have none."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from sluicegate.errors import InvalidRequest

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
        running = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    def stop(self) -> None:
        """Call it when nothing runs any more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
