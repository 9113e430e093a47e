"""A private cluster of three primaries for tests and benchmarks: each an embedded server, gone when we are."""

import time
from contextlib import ExitStack
from typing import Self

from redis import Redis

from sluicegate_worker.demo.embedded import HOST, START_TIMEOUT_S, EmbeddedServer, EmbeddedServerError

SLOTS = 16_384
PRIMARIES = 3
POLL_S = 0.02


class EmbeddedCluster:
    """`with EmbeddedCluster() as cluster:` … `cluster.url`, `cluster.nodes`."""

    def __init__(self) -> None:
        self.nodes: list[EmbeddedServer] = []
        self._running = ExitStack()

    @property
    def url(self) -> str:
        """Any node will do: a client learns the others from it."""
        return self.nodes[0].url

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for _ in range(PRIMARIES):
                node = EmbeddedServer("--cluster-enabled", "yes", "--appendonly", "no")
                self.nodes.append(starting.enter_context(node))
            self._join()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _join(self) -> None:
        with ExitStack() as connections:
            clients = [connections.enter_context(Redis.from_url(node.url, protocol=2)) for node in self.nodes]
            bounds = [SLOTS * number // PRIMARIES for number in range(PRIMARIES + 1)]
            for number, client in enumerate(clients):
                client.cluster("SET-CONFIG-EPOCH", number + 1)
                client.cluster("ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            for node in self.nodes[1:]:
                clients[0].cluster("MEET", HOST, node.port)
            give_up_at = time.monotonic() + START_TIMEOUT_S
            while not all(map(_is_complete, clients)):
                if time.monotonic() > give_up_at:
                    raise EmbeddedServerError("the nodes of the cluster did not find each other")
                time.sleep(POLL_S)

    def flush(self) -> None:
        for node in self.nodes:
            with Redis.from_url(node.url, protocol=2) as client:
                client.flushall()


def _is_complete(client: Redis) -> bool:
    """Whether this node serves, and sees every primary with its slots."""
    info = client.cluster("INFO")
    ranges = client.cluster("SLOTS")
    return info["cluster_state"] == "ok" and len(ranges) == PRIMARIES
