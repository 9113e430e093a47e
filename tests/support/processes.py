"""Real `sluicegate` processes: started with a file, read by their stderr, ended by pid."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sluicegate_worker.demo.children import spawn, stop
from sluicegate_worker.demo.settings import read_plain_environment
from sluicegate_worker.simulator.log import Record
from support.waiting import wait_until, wait_until_sync

SLUICEGATE = (sys.executable, "-m", "sluicegate_worker")


class Process:
    """`words` is all that it said on stderr."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: Path) -> None:
        self.process, self._stderr = process, stderr
        self.pid = process.pid

    @property
    def words(self) -> str:
        return self._stderr.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        return self.process.poll()

    async def end(self, timeout_s: float = 20.0) -> int:
        """Waits until it has ended by itself; returns its exit code."""
        await wait_until(lambda: self.code is not None, f"process {self.pid} has ended", timeout_s)
        return self.process.wait()


@contextmanager
def standing_still(process: Process) -> Iterator[None]:
    """As if it were given no time to run."""
    process.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.process.send_signal(signal.SIGCONT)


@contextmanager
def start_sluicegate(
    directory: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    stderr = directory / f"{arguments[0]}-{len(list(directory.iterdir()))}.err"
    with stderr.open("wb") as file:
        env = read_plain_environment() | dict(environment or {})
        process = spawn([*SLUICEGATE, *arguments], env=env, stdout=subprocess.DEVNULL, stderr=file)
    try:
        yield Process(process, stderr)
    finally:
        stop(process)


@contextmanager
def launch_dispatcher(
    directory: Path, file: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A dispatcher with this text as its settings, which may not serve yet when the block begins."""
    config = directory / f"settings-{len(list(directory.iterdir()))}.toml"
    config.write_text(file)
    with start_sluicegate(directory, "dispatch", "--config", str(config), *arguments, environment=environment) as one:
        yield one


def is_up(dispatcher: Process) -> bool:
    """Whether it has begun to serve its pools. Fails when it has ended before."""
    serves = " serves " in dispatcher.words
    assert serves or dispatcher.code is None, dispatcher.words
    return serves


@contextmanager
def start_dispatcher(directory: Path, file: str, *arguments: str) -> Iterator[Process]:
    """The same, and it serves when the block begins."""
    with launch_dispatcher(directory, file, *arguments) as dispatcher:
        wait_until_sync(lambda: is_up(dispatcher), "the dispatcher serves its pools")
        yield dispatcher


class Simulator:
    """`calls()` is what arrived so far, by the provider's own log."""

    def __init__(self, port: int, log: Path) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._log = log

    def count(self) -> int:
        """How many calls are in the log by now."""
        return self._log.read_bytes().count(b"\n")

    def calls(self) -> list[Record]:
        lines = self._log.read_bytes().splitlines(keepends=True)
        return [_read_record(line) for line in lines if line.endswith(b"\n")]


@contextmanager
def start_simulator(directory: Path, rpm: int, *arguments: str) -> Iterator[Simulator]:
    port_file, log = directory / "provider.port", directory / "provider.log"
    options: Sequence[str] = ("--rpm", str(rpm), "--port-file", str(port_file), "--log", str(log), *arguments)
    with start_sluicegate(directory, "simulate-provider", *options) as process:
        wait_until_sync(lambda: port_file.exists() or process.code is not None, "the simulator listens")
        assert process.code is None, process.words
        yield Simulator(int(port_file.read_text()), log)


def _read_record(line: bytes) -> Record:
    return Record(**json.loads(line))


def write_settings(
    redis_url: str, destination: str, *lines: str, rules: Sequence[str] = (), provider: str = "openai"
) -> str:
    """A sluicegate.toml with one pool `chat` and one upstream `a`, at a base URL or `package.module:handler`.

    `lines` are more settings of the upstream, `rules` those of the pool.
    """
    kind = "base_url" if "://" in destination else "handler"
    pool, upstream = "\n".join(rules), "\n".join(lines)
    return f"""
        redis_url = "{redis_url}"
        [pools.chat]
        {pool}
        [pools.chat.retry]
        base_s = 0.01
        cap_s = 0.02
        [[pools.chat.upstreams]]
        name = "a"
        provider = "{provider}"
        {kind} = "{destination}"
        {upstream}
    """
