"""What processes and the server have used until now; the difference of two readings is what a part cost."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from redis import Redis

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_SCRIPTS = {"cmdstat_eval", "cmdstat_evalsha"}


class Usage(NamedTuple):
    """CPU in seconds, by `producer`, all of `worker` and `server`; what the server counts."""

    producer_s: float
    worker_s: float
    server_s: float
    reads: int  # of sockets, by the server
    commands: int  # those inside scripts included, as in the next
    commands_us: int  # as the server counts it
    scripts_us: int  # from a script's begin to its end
    memory_bytes: int

    def since(self, before: Self) -> "Usage":
        return Usage(
            self.producer_s - before.producer_s,
            self.worker_s - before.worker_s,
            self.server_s - before.server_s,
            self.reads - before.reads,
            self.commands - before.commands,
            self.commands_us - before.commands_us,
            self.scripts_us - before.scripts_us,
            self.memory_bytes - before.memory_bytes,
        )


class Server(NamedTuple):
    """One that is measured, and a connection to ask it."""

    pid: int
    redis: Redis


def read_usage(producer: int, workers: Iterable[int], servers: Sequence[Server]) -> Usage:
    """All servers together."""
    told: list[Any] = [server.redis.info("everything") for server in servers]
    called = [(name, of) for stats in told for name, of in stats.items() if name.startswith("cmdstat_")]
    return Usage(
        read_cpu_s(producer),
        sum(map(read_cpu_s, workers)),
        sum(read_cpu_s(server.pid) for server in servers),
        sum(stats["total_reads_processed"] for stats in told),
        sum(of["calls"] for _, of in called),
        sum(of["usec"] for name, of in called if name not in _SCRIPTS),
        sum(of["usec"] for name, of in called if name in _SCRIPTS),
        sum(stats["used_memory"] for stats in told),
    )


def read_cpu_s(pid: int) -> float:
    """User and system time of a process, its living children and those that it has waited for."""
    return _read_ticks(pid) / _TICKS_A_SECOND + sum(read_cpu_s(child) for child in _children(pid))


def _read_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))  # utime, stime and the same of children that were waited for


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found += map(int, (task / "children").read_text(encoding="utf-8").split())
    return found
