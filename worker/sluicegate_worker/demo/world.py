"""What the demo needs around its agents: a server, a simulated provider, dispatchers. All ours, all gone at the end."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from sluicegate_worker.demo.children import spawn, stop
from sluicegate_worker.demo.embedded import HOST, EmbeddedServer
from sluicegate_worker.demo.settings import read_plain_environment, write_settings

START_TIMEOUT_S = 30.0
POLL_S = 0.02
SLUICEGATE = (sys.executable, "-m", "sluicegate_worker")


class WorldError(Exception):
    """A part did not start, or ended by itself; the text is one sentence with its last words."""


class World:
    """`with World(…) as world:` starts everything; dispatchers may still be on their way to the server."""

    def __init__(self, *, rpm: int, dispatchers: int, fail_rate: float, seed: int) -> None:
        self._rpm, self._dispatchers, self._fail_rate, self._seed = rpm, dispatchers, fail_rate, seed
        self._server = EmbeddedServer()
        self._directory = Path()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def redis_url(self) -> str:
        return self._server.url

    @property
    def provider_log(self) -> Path:
        return self._directory / "provider.log"

    def __enter__(self) -> Self:
        try:
            self._server.start()
            self._directory = Path(tempfile.mkdtemp(prefix="sluicegate-demo-"))
            provider_url = f"http://{HOST}:{self._start_simulator()}/v1"
            settings = self._directory / "sluicegate.toml"
            settings.write_text(write_settings(self.redis_url, provider_url, self._rpm), encoding="utf-8")
            for number in range(1, self._dispatchers + 1):
                self._start(f"dispatcher-{number}", "dispatch", "--config", str(settings))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def check(self) -> None:
        """Raises WorldError when a part has ended."""
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None:
                raise WorldError(f"the {name} ended with {code}; its last words: {self._last_words(name)}")

    def stop_processes(self) -> None:
        """Dispatchers drain, the simulator writes the end of its log. Harmless when repeated."""
        for process in self._processes.values():  # all at once, then wait for each
            process.terminate()
        while self._processes:
            _, process = self._processes.popitem()
            stop(process)

    def _start_simulator(self) -> int:
        port_file = self._directory / "provider.port"
        self._start(
            "simulator", "simulate-provider", "--port", "0", "--port-file", str(port_file),
            "--rpm", str(self._rpm), "--fail-rate", str(self._fail_rate), "--seed", str(self._seed),
            "--log", str(self.provider_log),
        )  # fmt: skip
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not port_file.exists():
            self.check()
            if time.monotonic() >= give_up_at:
                raise WorldError(f"the simulator did not listen within {START_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)
        return int(port_file.read_text())

    def _start(self, name: str, *arguments: str) -> None:
        with (self._directory / f"{name}.out").open("wb") as out:
            self._processes[name] = spawn(
                [*SLUICEGATE, *arguments], env=read_plain_environment(), stdout=out, stderr=subprocess.STDOUT
            )

    def _last_words(self, name: str) -> str:
        words = (self._directory / f"{name}.out").read_text(errors="replace").strip().splitlines()
        return words[-1] if words else "(none)"

    def _end(self) -> None:
        self.stop_processes()
        self._server.stop()
        if self._directory != Path():
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = Path()
