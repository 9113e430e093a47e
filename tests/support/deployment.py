"""A Deployment without a cluster: as many dispatcher processes as it is told, and SIGTERM for those too many."""

import signal
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Self

from support.processes import Process, is_up, launch_dispatcher
from support.waiting import wait_until

DRAIN_S = 60.0


class Deployment:
    """`async with Deployment(directory, file, "--concurrency", "4") as deployment:` … `deployment.scale(3)`.

    `running` are its replicas, those that do not serve yet included; who was told to leave is none any more.
    """

    def __init__(self, directory: Path, file: str, *arguments: str) -> None:
        self._directory, self._file, self._arguments = directory, file, arguments
        self._random = Random(1)
        self._started = ExitStack()
        self._leaving: list[Process] = []
        self.running: list[Process] = []
        self.most_at_once = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.scale(0)
            if kind is None:
                await self.settle()
        finally:
            self._started.close()

    def count_ready(self) -> int:
        return sum(map(is_up, self.running))

    def scale(self, replicas: int) -> None:
        """Does not wait: who comes is not there yet, and who goes may be busy for a while."""
        while len(self.running) < replicas:
            self._launch()
        while len(self.running) > replicas:
            self._retire(self._choose())

    async def roll_out(self) -> None:
        """Each is replaced by one that serves before it is told to leave: maxSurge 1, maxUnavailable 0."""
        for old in list(self.running):
            new = self._launch()
            await wait_until(lambda new=new: is_up(new), "the new one serves")  # type: ignore[misc]
            self._retire(old)

    async def settle(self) -> None:
        """Who was told to leave has drained: exit code 0, or ended before it had begun to serve."""
        for leaver in self._leaving:
            code = await leaver.end(DRAIN_S)
            never_served = code == -signal.SIGTERM and " serves " not in leaver.words
            assert code == 0 or never_served, leaver.words
        self._leaving.clear()

    def _launch(self) -> Process:
        launched = self._started.enter_context(launch_dispatcher(self._directory, self._file, *self._arguments))
        self.running.append(launched)
        self.most_at_once = max(self.most_at_once, len(self.running))
        return launched

    def _choose(self) -> Process:
        """As a ReplicaSet does, those that are not ready first; of the others any."""
        unready = [one for one in self.running if not is_up(one)]
        return self._random.choice(unready or self.running)

    def _retire(self, leaver: Process) -> None:
        self.running.remove(leaver)
        self._leaving.append(leaver)
        leaver.process.terminate()
