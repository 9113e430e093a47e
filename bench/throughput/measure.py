"""One contender once: a fresh server, its worker, its producer, part after part; what each part gave and used."""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from redis import Redis

from bench.throughput.contender import PROGRAMS, Contender
from bench.throughput.usage import Server, Usage, read_usage
from sluicegate_worker.demo.children import spawn, stop
from sluicegate_worker.demo.embedded import EmbeddedServer
from sluicegate_worker.demo.embedded_cluster import EmbeddedCluster
from sluicegate_worker.demo.settings import read_plain_environment

START_S = 60.0
PARTS_S = 300.0
POLL_S = 0.05


class MeasureError(Exception):
    """A process ended before its work, or did not end; the text has its last words."""


class Part(Struct, frozen=True):
    """What a part of a producer's work gave and used: CPU in seconds, all else counts of the whole part."""

    part: str
    count: int
    seconds: float
    p50_ms: float
    p99_ms: float
    producer_s: float
    worker_s: float
    server_s: float
    reads: int
    commands: int
    commands_us: int
    scripts_us: int
    memory_bytes: int


def measure(
    contender: Contender,
    served: Sequence[str],
    enqueued: Sequence[str] = (),
    *,
    durable: bool,
    cluster: bool = False,
    provider: str = "",
    workers: int = 1,
    core: int | None = None,
) -> list[Part]:
    """`served` are parts with a worker, `enqueued` those without; `provider` is an HTTP upstream's URL, where there
    is one. On `core` runs the worker, or the producer of what has none. Raises MeasureError."""
    with ExitStack() as stack:
        nodes = _start(stack, durable=durable, cluster=cluster)
        servers = [Server(node.pid, stack.enter_context(Redis.from_url(node.url))) for node in nodes]
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        names = {"url": nodes[0].url, "settings": str(folder / "sluicegate.toml"), "provider": provider}
        (folder / "sluicegate.toml").write_text(contender.settings.format(**names), encoding="utf-8")
        with ExitStack() as working:
            pids = []
            for number in range(workers if contender.worker else 0):
                words = folder / f"worker-{number}"
                worker = working.enter_context(running(contender.worker, names, words, contender.variables))
                keep_on(core, worker.pid)
                wait_until_ready(worker, f"{contender.name}'s worker", contender.ready, words)
                pids.append(worker.pid)
            its_core = None if pids else core
            parts = _produce(contender, names, folder, served, servers, pids, its_core)
        return parts + _produce(contender, names, folder, enqueued, servers, ())


def _start(stack: ExitStack, *, durable: bool, cluster: bool) -> list[EmbeddedServer]:
    if cluster:
        return stack.enter_context(EmbeddedCluster()).nodes
    return [stack.enter_context(EmbeddedServer("--appendonly", "yes" if durable else "no"))]


def _produce(
    contender: Contender,
    names: dict[str, str],
    folder: Path,
    parts: Sequence[str],
    servers: Sequence[Server],
    workers: Sequence[int],
    core: int | None = None,
) -> list[Part]:
    found: list[Part] = []
    if not parts:
        return found
    command, words = (*contender.producer, *parts), folder / "producer"
    with running(command, names, words, contender.variables, subprocess.PIPE) as producer, _killing(producer):
        keep_on(core, producer.pid)
        before: Usage | None = None
        for line in producer.stdout or ():
            event = json.loads(line)
            usage = read_usage(producer.pid, workers, servers)
            if "begin" in event:
                before = usage
            elif before is not None:
                found.append(_describe(event, usage.since(before)))
    if len(found) != len(parts):
        raise MeasureError(f"the producer ended after {len(found)} of {len(parts)} parts: {_last_words(words)}")
    return found


@contextmanager
def _killing(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """What still runs after `PARTS_S` hangs."""
    hung = threading.Timer(PARTS_S, process.kill)
    hung.start()
    try:
        yield
    finally:
        hung.cancel()


def keep_on(core: int | None, pid: int) -> None:
    """Only Linux can keep a process on one core; elsewhere it runs where it likes."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {core})


def _describe(event: dict[str, Any], used: Usage) -> Part:
    count = event["round_trips"] if "round_trips" in event else event["requests"]
    latency = {name: event.get(name, 0.0) for name in ("p50_ms", "p99_ms")}
    return Part(event["part"], count, event["seconds"], **latency, **used._asdict())


@contextmanager
def running(
    command: Sequence[str],
    names: Mapping[str, str],
    words: Path,
    variables: Mapping[str, str] = MappingProxyType({}),
    stdout: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """What it says goes to the file `words`; where `stdout` is PIPE, only what it says on stderr."""
    line = [word.format(**names) for word in command]
    environment = {**read_plain_environment(), "PYTHONPATH": str(PROGRAMS), "PYTHONUNBUFFERED": "1", **variables}
    with words.open("wb") as out:
        process = spawn(line, env=environment, stdout=stdout or out, stderr=out)
        try:
            yield process
        finally:
            stop(process)


def wait_until_ready(process: subprocess.Popen[bytes], who: str, ready: str, words: Path) -> None:
    """Returns once it has said `ready`."""
    give_up_at = time.monotonic() + START_S
    while ready not in words.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise MeasureError(f"{who} did not get ready: {_last_words(words)}")
        time.sleep(POLL_S)


def _last_words(words: Path) -> str:
    return " ".join(words.read_text(errors="replace").strip().splitlines()[-3:]) or "(none)"
