"""`sluicegate dispatch`: runs a dispatcher until SIGTERM or Ctrl-C, then drains it."""

import asyncio
import contextlib
import gc
import signal
from typing import TYPE_CHECKING, Any

import click

from sluicegate_worker.cli.options import config_option, redis_url_option
from sluicegate_worker.cli.output import EXIT_USAGE, fail
from sluicegate_worker.observe.events import (
    DispatcherDraining,
    DispatcherStarted,
    DispatcherStopped,
    Events,
    ProbesAnswered,
    Subscriber,
)
from sluicegate_worker.observe.logs import Format, LogLines, write_logs
from sluicegate_worker.settings import Settings
from sluicegate_worker.settings_file import load_settings_here

if TYPE_CHECKING:
    from sluicegate_worker.dispatcher import Dispatcher
    from sluicegate_worker.observe.counters import Counters
    from sluicegate_worker.observe.traces import Traces

EVERYWHERE = "0.0.0.0"  # noqa: S104  # who asks for a port has probes come to it from outside of its pod
_GARBAGE_AT = 10_000


@click.command()
@config_option
@redis_url_option
@click.option(
    "--concurrency", default=200, show_default=True, type=click.IntRange(1, 10_000), help="Calls in flight, per pool."
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65_535),
    help="Answer /livez, /readyz and /metrics here.  [default: nowhere]",
)
@click.option("--health-host", default=EVERYWHERE, show_default=True, help="The address that it listens on.")
@click.option(
    "--log-format",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="Of the lines on stderr.",
)
@click.option("--traces", is_flag=True, help="Send OpenTelemetry spans, as the variables OTEL_… say.")
def command(
    *,
    config_path: str | None,
    redis_url: str | None,
    concurrency: int,
    health_port: int | None,
    health_host: str,
    log_format: Format,
    traces: bool,
) -> int:
    """Run a dispatcher until SIGTERM or Ctrl-C; then it takes nothing new and waits for the calls in flight."""
    settings = load_settings_here(config_path, redis_url)
    write_logs(log_format)
    health = None if health_port is None else (health_host, health_port)
    tracer = _load_traces() if traces else None
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        code = runner.run(_dispatch(settings, concurrency, health, tracer))
    if tracer is not None:
        tracer.close()
    return code


def _load_traces() -> "Traces":
    try:
        from sluicegate_worker.observe.traces import Traces
    except ImportError as error:
        fail(f"--traces needs {error.name}: pip install 'sluicegate[otel]'", EXIT_USAGE)
    return Traces()


async def _dispatch(
    settings: Settings, concurrency: int, health: tuple[str, int] | None, traces: "Traces | None"
) -> int:
    from sluicegate_worker.dispatcher import Dispatcher
    from sluicegate_worker.observe.counters import Counters

    counters = Counters()
    told: list[Subscriber] = [LogLines(), *([counters] if health else []), *([traces] if traces else [])]
    events = Events(*told, traced=traces is not None)
    dispatcher = Dispatcher(settings, concurrency=concurrency, events=events)
    interrupted = False

    def stop(number: int) -> None:
        nonlocal interrupted
        interrupted = number == signal.SIGINT
        events.tell(DispatcherDraining(in_flight=dispatcher.in_flight))
        dispatcher.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    # What was loaded stays: to look through all of it again stands still for longer than a slot may be missed.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_AT)  # what is in flight lives for long, and is looked through in vain each time
    async with contextlib.AsyncExitStack() as stack:
        if health is not None:
            await _answer_probes(stack, dispatcher, counters, settings, events, health)
        await stack.enter_async_context(dispatcher)
        started = DispatcherStarted(
            dispatcher=dispatcher.name, pools=", ".join(settings.pools), concurrency=concurrency
        )
        events.tell(started)
        await dispatcher.drained()
    events.tell(DispatcherStopped(dispatcher=dispatcher.name))
    return 130 if interrupted else 0


async def _answer_probes(
    stack: contextlib.AsyncExitStack,
    dispatcher: "Dispatcher",
    counters: "Counters",
    settings: Settings,
    events: Events,
    health: tuple[str, int],
) -> None:
    """With a connection of their own, so that a probe never waits behind what is busy."""
    from sluicegate.store import Store
    from sluicegate_worker.observe.listening import CannotListen, serve_pages
    from sluicegate_worker.observe.probes import Probes

    counters.open(
        dispatcher.version, {name: tuple(u.name for u in pool.upstreams) for name, pool in settings.pools.items()}
    )
    store = await stack.enter_async_context(Store(settings.redis_url))
    try:
        pages = Probes(dispatcher, counters, store, list(settings.pools)).pages
        port = await stack.enter_async_context(serve_pages(pages, *health, "--health-port or --health-host"))
    except CannotListen as error:
        fail(str(error), EXIT_USAGE)
    events.tell(ProbesAnswered(port=port))


def _new_loop() -> Any:
    try:
        import uvloop
    except ImportError:  # not on every platform
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
