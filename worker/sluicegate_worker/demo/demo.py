"""The demo: everything on this machine, more load than the limit, and a report of what became of it."""

import asyncio
import signal
import time
from typing import Any, NamedTuple

import uvloop

from sluicegate.store import Store
from sluicegate_worker.demo.load import Load, count_dispatchers, run_load
from sluicegate_worker.demo.records import Record, read_calls
from sluicegate_worker.demo.report import Report, Run, make_report
from sluicegate_worker.demo.settings import POOL
from sluicegate_worker.demo.traffic import name_agents, plan_demo
from sluicegate_worker.demo.world import START_TIMEOUT_S, World, WorldError

POLL_S = 0.1
WATCH_S = 0.5
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class Demo(NamedTuple):
    """What `sluicegate demo` was asked for."""

    agents: int
    hogs: int
    rpm: int
    dispatchers: int
    duration_s: float
    fail_rate: float
    seed: int


def run_demo(demo: Demo, *, live: bool) -> Report:
    """Raises WorldError or EmbeddedServerError when it cannot go on; whatever happens, nothing is left running."""
    with World(rpm=demo.rpm, dispatchers=demo.dispatchers, fail_rate=demo.fail_rate, seed=demo.seed) as world:
        # Held back until the loop can take them: an exception out of a handler could strike anywhere in it.
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
        driven = uvloop.run(_drive_unless_interrupted(world, demo, live))
        if driven is None:
            raise KeyboardInterrupt
        records, run = driven
        world.stop_processes()
        return make_report(run, records, read_calls(world.provider_log, since=0))


async def _drive_unless_interrupted(world: World, demo: Demo, live: bool) -> tuple[list[Record], Run] | None:
    interrupted = asyncio.Event()
    for number in INTERRUPTS:
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    drive, interrupt = asyncio.create_task(_drive(world, demo, live)), asyncio.create_task(interrupted.wait())
    await asyncio.wait((drive, interrupt), return_when=asyncio.FIRST_COMPLETED)
    interrupt.cancel()
    if drive.done():
        return drive.result()
    await _end(drive)
    return None


async def _end(task: asyncio.Task[Any]) -> None:
    """Again and again: before Python 3.12 a time-out inside the Redis client can take a cancellation for its own."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=WATCH_S)
    if not task.cancelled():
        task.exception()  # whatever it was, it is over


async def _drive(world: World, demo: Demo, live: bool) -> tuple[list[Record], Run]:
    await _wait_for_dispatchers(world, demo.dispatchers)
    plan = plan_demo(name_agents(demo.agents, demo.hogs), demo.rpm, demo.duration_s, demo.seed)
    load = asyncio.create_task(run_load(Load(world.redis_url, POOL, plan), live=live))
    try:
        while not load.done():
            world.check()
            await asyncio.wait([load], timeout=WATCH_S)
        return load.result()
    finally:
        await _end(load)


async def _wait_for_dispatchers(world: World, wanted: int) -> None:
    """Load that comes before them would wait for their start, and the report would count that against them."""
    give_up_at = time.monotonic() + START_TIMEOUT_S
    async with Store(world.redis_url) as store:
        while time.monotonic() < give_up_at:
            world.check()
            if await count_dispatchers(store, POOL) == wanted:
                return
            await asyncio.sleep(POLL_S)
    raise WorldError(f"not all of {wanted} dispatchers were ready within {START_TIMEOUT_S:.0f} s")
