"""A simulated provider as a process of its own: serves until a signal comes, and says in a file where it listens."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path

from sluicegate_worker.simulator.provider import CannotStart, SimulatedProvider


class LogBroken(Exception):
    """Lines of the log are lost; the text is one sentence."""


async def serve_until_signal(
    provider: SimulatedProvider, port_file: Path | None, announce: Callable[[SimulatedProvider], None]
) -> None:
    """Calls `announce` once it listens. Raises CannotStart, or LogBroken as soon as the log cannot be written."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    # All modules are here to stay. Going through them for garbage would stop the server for a tenth of a second, and
    # calls that came evenly would be logged as a burst.
    gc.collect()
    gc.freeze()
    async with provider:
        if port_file is not None:
            _write_whole(port_file, f"{provider.port}\n")
        provider.broken.add_done_callback(lambda _: over.set())
        try:
            announce(provider)
            await over.wait()
        finally:
            if port_file is not None:
                _remove(port_file)
    if provider.broken.done():
        raise LogBroken(f"the log can no longer be written: {provider.broken.result().strerror}; stopped")


# Whoever waits for the file must never read half a number.
def _write_whole(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_text(text)
        beside.replace(path)
    except OSError as error:
        _remove(beside)
        raise CannotStart(f"cannot write the port to {path}: {error.strerror}; give another --port-file") from None


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
