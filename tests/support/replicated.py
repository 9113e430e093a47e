"""Servers with replicas: three that sentinels watch, and a cluster of three primaries with a replica each. The one that
matters can be killed; who takes over is up to them."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis

from sluicegate_worker.demo.children import spawn, stop
from sluicegate_worker.demo.embedded import HOST, find_binary, find_free_port
from support.waiting import wait_until_sync

SERVICE = "sluice"
DOWN_AFTER_MS = 1_000
_SLOTS = 16_384
_PORTS_TRIED = 10


class Node:
    """A server of several, or a sentinel."""

    def __init__(self, directory: Path, *options: str, sentinel: bool = False) -> None:
        self._options, self._sentinel, self._is_up = options, sentinel, False
        for _ in range(_PORTS_TRIED):
            self.port = find_free_port()
            self.place = directory / str(self.port)
            self.place.mkdir()
            if self._start():
                return
        raise AssertionError(f"every port was taken; the last words: {(self.place / 'server.log').read_text()[-500:]}")

    def _start(self) -> bool:
        """False where somebody else took the port first, or that of the cluster's bus."""
        command: list[str | Path] = [find_binary()]
        if self._sentinel:
            file = self.place / "sentinel.conf"
            lines = (f"port {self.port}", f"bind {HOST}", f"dir {self.place}", *self._options)
            file.write_text("".join(f"{line}\n" for line in lines))
            command += [file, "--sentinel"]
        else:
            plain = ("--port", str(self.port), "--bind", HOST, "--dir", str(self.place), "--save", "")
            command += [*plain, "--appendonly", "yes", "--repl-diskless-sync-delay", "0", *self._options]
        with (self.place / "server.log").open("ab") as log:
            self.process = spawn(command, stdout=log, stderr=log)
        log_file = self.place / "server.log"

        def is_decided() -> bool:
            """By its own words: what answers on the port may be the other."""
            self._is_up = any(words in log_file.read_text() for words in ("Ready to accept", "Sentinel ID is"))
            return self._is_up or self.process.poll() is not None

        wait_until_sync(is_decided, f"server {self.port} is up")
        return self._is_up

    def ask(self, *command: Any) -> Any:
        with Redis(host=HOST, port=self.port, protocol=2, decode_responses=True) as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        stop(self.process)


class _Group:
    """Ends what it has started, and deletes what that wrote."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sluicegate-"))
        self._started = ExitStack()
        self._started.callback(shutil.rmtree, self.directory, ignore_errors=True)

    def add(self, *options: str, sentinel: bool = False) -> Node:
        node = Node(self.directory, *options, sentinel=sentinel)
        self._started.callback(node.stop)
        return node

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()


class SentinelTrio(_Group):
    """A primary, two replicas, and three sentinels of which two must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.primary = self.add()
        self.nodes = [self.primary, *(self.add("--replicaof", HOST, str(self.primary.port)) for _ in range(2))]
        wait_until_sync(lambda: self._replicas() == 2, "the replicas follow")
        watched = f"sentinel monitor {SERVICE} {HOST} {self.primary.port} 2"
        times = (f"down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}", f"failover-timeout {SERVICE} 5000")
        rules = (watched, *(f"sentinel {time}" for time in times))
        self.sentinels = [self.add(*rules, sentinel=True) for _ in range(3)]
        wait_until_sync(lambda: all(map(self._knows_all, self.sentinels)), "the sentinels know one another")

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def kill_primary(self) -> None:
        self.primary.kill()

    @property
    def has_failed_over(self) -> bool:
        return self._primary_port() != self.primary.port

    def find_primary(self) -> Node:
        return next(node for node in self.nodes if node.port == self._primary_port())

    def _primary_port(self) -> int:
        return int(self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def _replicas(self) -> int:
        return str(self.primary.ask("INFO", "replication")).count("'state': 'online'")

    def _knows_all(self, sentinel: Node) -> bool:
        about = sentinel.ask("SENTINEL", "MASTER", SERVICE)
        found = dict(zip(about[::2], about[1::2], strict=True)) if isinstance(about, list) else about
        return int(found["num-slaves"]) == 2 and int(found["num-other-sentinels"]) == 2


class ReplicatedCluster(_Group):
    """Three primaries, each with a replica."""

    def __init__(self) -> None:
        super().__init__()
        clustered = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(DOWN_AFTER_MS))
        quick = ("--cluster-replica-validity-factor", "0")
        self.nodes = [self.add(*clustered, *quick) for _ in range(6)]
        bounds = [_SLOTS * number // 3 for number in range(4)]
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < 3:
                node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            if number:
                self.nodes[0].ask("CLUSTER", "MEET", HOST, node.port)
        wait_until_sync(lambda: all(len(self._known(node)) == 6 for node in self.nodes), "the nodes know one another")
        for primary, replica in zip(self.nodes[:3], self.nodes[3:], strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID"))
        wait_until_sync(self._is_complete, "the cluster serves, with its replicas")

    @property
    def url(self) -> str:
        """Of a node that lives: a client learns the others from it."""
        return f"redis://{HOST}:{self.nodes[0].port}/0"

    def owner_of(self, key: str) -> Node:
        slot = int(self.nodes[0].ask("CLUSTER", "KEYSLOT", key))
        return self.nodes[next(number for number in range(3) if slot < _SLOTS * (number + 1) // 3)]

    def has_replaced(self, node: Node) -> bool:
        """Whether the node's replica serves in its place."""
        replica = self.nodes[self.nodes.index(node) + 3]
        return "role:master" in str(self._role(replica))

    def _role(self, node: Node) -> str:
        return f"role:{node.ask('ROLE')[0]}"

    def _known(self, node: Node) -> list[str]:
        return str(node.ask("CLUSTER", "NODES")).splitlines()

    def _is_complete(self) -> bool:
        served = all("cluster_state:ok" in str(node.ask("CLUSTER", "INFO")) for node in self.nodes)
        return served and all(self._role(node) == "role:slave" for node in self.nodes[3:]) and self._all_linked()

    def _all_linked(self) -> bool:
        return all(node.ask("ROLE")[3] == "connected" for node in self.nodes[3:])
