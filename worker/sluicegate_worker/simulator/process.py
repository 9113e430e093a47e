"""A simulated provider as a process of its own: serves until a signal comes, and says in a file where it listens."""

import asyncio
import gc
import signal
from collections.abc import Callable
from pathlib import Path

from sluicegate_worker.port_file import port_file
from sluicegate_worker.simulator.provider import SimulatedProvider


class LogBroken(Exception):
    """Lines of the log are lost; the text is one sentence."""


async def serve_until_signal(
    provider: SimulatedProvider, path: Path | None, announce: Callable[[SimulatedProvider], None]
) -> None:
    """Calls `announce` once it listens. Raises CannotStart or PortFileBroken, or LogBroken as soon as the log cannot be
    written."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    # All modules are here to stay. Going through them for garbage would stop the server for a tenth of a second, and
    # calls that came evenly would be logged as a burst.
    gc.collect()
    gc.freeze()
    async with provider:
        provider.broken.add_done_callback(lambda _: over.set())
        with port_file(path, provider.port):
            announce(provider)
            await over.wait()
    if provider.broken.done():
        raise LogBroken(f"the log can no longer be written: {provider.broken.result().strerror}; stopped")
