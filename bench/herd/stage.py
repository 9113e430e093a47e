"""What a run needs around its agents: a directory, the simulated provider, other processes. All gone at the end."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from bench.herd.usage import read_wanted_cpu_s
from sluicegate_worker.demo.children import spawn, stop
from sluicegate_worker.demo.embedded import HOST, EmbeddedServer
from sluicegate_worker.demo.settings import read_plain_environment

START_TIMEOUT_S = 60.0
POLL_S = 0.05
HTTP_TIMEOUT_S = 5.0
SERVICE_MEDIAN_S = 0.3
LOOPBACK_ONLY = {"NO_PROXY": HOST, "no_proxy": HOST}


class StageError(Exception):
    """A part did not start, or ended by itself; the text is one sentence with its last words."""


class Stage:
    """`with Stage(rpm, seed) as stage:` starts the provider; services are added by `start`."""

    def __init__(self, rpm: int, seed: int) -> None:
        self.rpm = rpm
        self._seed = seed
        self._scratch = tempfile.TemporaryDirectory(prefix="sluicegate-bench-", ignore_cleanup_errors=True)
        self.directory = Path(self._scratch.name)
        self.provider_log = self.directory / "provider.log"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._server: EmbeddedServer | None = None
        self.provider_url = ""

    def __enter__(self) -> Self:
        try:
            self._start_provider()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def start_server(self) -> EmbeddedServer:
        """The run's own Valkey."""
        self._server = EmbeddedServer()
        self._server.start()
        return self._server

    def start(self, name: str, *command: str | Path, environment: Mapping[str, str] | None = None) -> None:
        """A process whose output goes to a file; it ends with the stage, if it has not before."""
        with self._output(name).open("wb") as out:
            self._processes[name] = spawn(
                command,
                env=read_plain_environment() | LOOPBACK_ONLY | dict(environment or {}),
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Raises StageError when a process fails meanwhile, or the time is over."""
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            self.check()
            if time.monotonic() >= give_up_at:
                raise StageError(f"{what}: not within {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def check(self) -> None:
        for name, process in self._processes.items():
            if process.poll():
                words = self._output(name).read_text(errors="replace").strip().splitlines()
                raise StageError(f"{name} ended with {process.returncode}; its last words: {' '.join(words[-3:])}")

    def has_ended(self, name: str) -> bool:
        return self._processes[name].poll() is not None

    def read_services_cpu_s(self) -> dict[str, float]:
        """What each process that is neither provider nor agents has wanted of a core so far, where that is known."""
        wanted = {
            name: read_wanted_cpu_s(process.pid)
            for name, process in self._processes.items()
            if not name.startswith(("provider", "agents"))
        }
        return {name: wanted_s for name, wanted_s in wanted.items() if wanted_s is not None}

    def change_provider(self, behaviour: Mapping[str, object]) -> None:
        """Raises StageError with the provider's words when it cannot behave so."""
        request = Request(  # noqa: S310 - a URL of our own
            f"{self.provider_url}/_sim", msgspec.json.encode(behaviour), {"Content-Type": "application/json"}
        )
        try:
            build_opener(ProxyHandler({})).open(request, timeout=HTTP_TIMEOUT_S).close()
        except HTTPError as error:
            words = msgspec.json.decode(error.read())["error"]["message"]
            raise StageError(f"the simulated provider cannot do that: {words}") from None

    def stop_processes(self) -> None:
        """All at once, then each is waited for: the provider writes the end of its log. Harmless when repeated."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        while self._processes:
            _, process = self._processes.popitem()
            stop(process)

    def _start_provider(self) -> None:
        port_file = self.directory / "provider.port"
        self.start(
            "provider", sys.executable, "-m", "sluicegate_worker", "simulate-provider", "--port-file", port_file,
            "--rpm", str(self.rpm), "--latency-median-s", str(SERVICE_MEDIAN_S), "--seed", str(self._seed),
            "--log", self.provider_log,
        )  # fmt: skip
        self.wait_until(port_file.exists, "the simulated provider listens")
        self.provider_url = f"http://{HOST}:{int(port_file.read_text())}"

    def _output(self, name: str) -> Path:
        return self.directory / f"{name}.out"

    def _end(self) -> None:
        self.stop_processes()
        if self._server is not None:
            self._server.stop()
        self._scratch.cleanup()


def is_answering(url: str) -> bool:
    """Whether anybody serves this URL yet."""
    try:
        build_opener(ProxyHandler({})).open(url, timeout=HTTP_TIMEOUT_S).close()
    except HTTPError:
        return True
    except (URLError, OSError):
        return False
    return True
