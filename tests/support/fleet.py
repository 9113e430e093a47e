"""Dispatcher processes that serve one pool together: started, killed with what they hold, replaced when they die."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Self

from redis.asyncio import Redis

from sluicegate_worker.demo.settings import read_plain_environment
from support.processes import Process, is_up, launch_dispatcher
from support.source_tree import ROOT
from support.stored import send
from support.waiting import wait_until

# For a fleet whose handler is one of the tests' own.
SEES_HANDLERS = {
    "PYTHONPATH": os.pathsep.join(filter(None, (read_plain_environment().get("PYTHONPATH"), str(ROOT / "tests"))))
}
RUN, GROUP = "sg:{chat}:run", "dispatchers"
HELD_MOST = 10_000
DEATHS_MOST = 30


class Fleet:
    """`async with Fleet(directory, client, file) as fleet:` … `await fleet.start()`.

    `running` are those that live; `held` counts for each request how often a dispatcher was killed with it in hand.
    """

    def __init__(self, directory: Path, client: Redis, file: str, environment: Mapping[str, str] | None = None) -> None:
        self._directory, self._client, self._file, self._environment = directory, client, file, environment
        self._started = ExitStack()
        self.running: list[Process] = []
        self.held: Counter[str] = Counter()
        self.deaths = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for dispatcher in self.running:  # all at once, then each is waited for
            dispatcher.process.send_signal(signal.SIGCONT)
            dispatcher.process.terminate()
        self._started.close()

    async def start(self, count: int = 1) -> list[Process]:
        """So many more; they serve when this returns."""
        launched = [
            self._started.enter_context(launch_dispatcher(self._directory, self._file, environment=self._environment))
            for _ in range(count)
        ]
        self.running += launched
        await wait_until(lambda: all(map(is_up, launched)), "the dispatchers serve")
        return launched

    async def kill(self, victim: Process) -> list[str]:
        """Kills it as it stands; returns the ids of what it held."""
        victim.process.send_signal(signal.SIGSTOP)  # it must not take or end anything after the count
        held = await list_held(self._client, victim)
        self.held.update(held)
        self.running.remove(victim)
        victim.process.kill()
        victim.process.wait()
        return held

    async def retire(self, leaver: Process) -> int:
        """Ends it by SIGTERM; returns its exit code when it has drained."""
        self.running.remove(leaver)
        leaver.process.terminate()
        return await leaver.end()

    @asynccontextmanager
    async def replacing_the_dead(self) -> AsyncIterator[None]:
        """Meanwhile another is started for each that ends by itself, as Kubernetes does; `deaths` counts them."""
        replacing = asyncio.create_task(self._replace_the_dead())
        try:
            yield
        finally:
            replacing.cancel()
            await asyncio.wait([replacing])
        if not replacing.cancelled():
            replacing.result()

    async def _replace_the_dead(self) -> None:
        while self.deaths < DEATHS_MOST:
            await wait_until(lambda: any(one.code is not None for one in self.running), "one has died", 600)
            dead = [one for one in self.running if one.code is not None]
            self.running = [one for one in self.running if one not in dead]
            self.deaths += len(dead)
            await self.start(len(dead))


async def name_of(client: Redis, dispatcher: Process) -> str | None:
    """Its name in the pool's consumer group; none while it is not there."""
    names = [one["name"].decode() for one in await client.xinfo_consumers(RUN, GROUP)]
    return next((name for name in names if f"-{dispatcher.pid}-" in name), None)


async def list_held(client: Redis, dispatcher: Process) -> list[str]:
    """The ids of the requests that are delivered to it and not acknowledged."""
    name = await name_of(client, dispatcher)
    if name is None:
        return []
    pending = await client.xpending_range(RUN, GROUP, "-", "+", HELD_MOST, consumername=name)
    fences = {one["message_id"] for one in pending}
    entries = await send(client, "XRANGE", RUN, "-", "+")
    return [fields[b"id"].decode() for fence, fields in entries if fence in fences]


def assert_paid_once(called: Iterable[str | None], held: Mapping[str, int] = MappingProxyType({})) -> None:
    """Nothing was called more than once, but once again for each time that its holder was killed."""
    unexplained = Counter(called) - Counter(held)
    unexplained.subtract(unexplained.keys())
    assert not +unexplained
