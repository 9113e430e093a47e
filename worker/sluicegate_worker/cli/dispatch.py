"""`sluicegate dispatch`: runs a dispatcher until SIGTERM or Ctrl-C, then drains it."""

import asyncio
import gc
import logging
import signal
import sys
from typing import Any

import click

from sluicegate_worker.cli.options import config_option, redis_url_option
from sluicegate_worker.settings import Settings
from sluicegate_worker.settings_file import load_settings_here

_GARBAGE_AT = 10_000


@click.command()
@config_option
@redis_url_option
@click.option(
    "--concurrency", default=200, show_default=True, type=click.IntRange(1, 10_000), help="Calls in flight, per pool."
)
def command(config_path: str | None, redis_url: str | None, concurrency: int) -> int:
    """Run a dispatcher until SIGTERM or Ctrl-C; then it takes nothing new and waits for the calls in flight."""
    settings = load_settings_here(config_path, redis_url)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(_dispatch(settings, concurrency))


async def _dispatch(settings: Settings, concurrency: int) -> int:
    from sluicegate_worker.dispatcher import Dispatcher

    dispatcher = Dispatcher(settings, concurrency=concurrency)
    interrupted = False

    def stop(number: int) -> None:
        nonlocal interrupted
        interrupted = number == signal.SIGINT
        logging.getLogger("sluicegate.dispatcher").info("draining: %d in flight", dispatcher.in_flight)
        dispatcher.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    # What was loaded stays: to look through all of it again stands still for longer than a slot may be missed.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_AT)  # what is in flight lives for long, and is looked through in vain each time
    async with dispatcher:
        logging.getLogger("sluicegate.dispatcher").info("%s serves %s", dispatcher.name, ", ".join(settings.pools))
        await dispatcher.drained()
    return 130 if interrupted else 0


def _new_loop() -> Any:
    try:
        import uvloop
    except ImportError:  # not on every platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
