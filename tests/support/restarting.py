"""A server that can be killed, frozen, and started again on the same port with what it had written down."""

import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from sluicegate_worker.demo.children import spawn, stop
from sluicegate_worker.demo.embedded import HOST, find_binary, find_free_port
from support.waiting import wait_until_sync


class RestartingServer:
    """`with RestartingServer() as server:` … `kill()`, `start()`, `freeze()`, `thaw()`.

    It writes every command down at once.
    """

    def __init__(self) -> None:
        self.port = find_free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self._directory = tempfile.TemporaryDirectory(prefix="sluicegate-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._directory.cleanup()

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", HOST, "--dir", self._directory.name, "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        with (Path(self._directory.name) / "server.log").open("ab") as log:
            self._process = spawn([find_binary(), *options, *durable], stdout=log, stderr=subprocess.STDOUT)
        wait_until_sync(self._answers, "the server answers")

    def kill(self) -> None:
        """As if the power failed."""
        if self._process is not None:
            self._process.kill()
            stop(self._process)
            self._process = None

    def freeze(self) -> None:
        """As if its machine stood still: it keeps its connections, and answers nobody until it thaws."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None, "the server runs"
        self._process.send_signal(number)

    def _answers(self) -> bool:
        with Redis.from_url(self.url, protocol=2) as client:
            try:
                return bool(client.ping())
            except RedisError:  # not up yet, or still reading its file
                return False
