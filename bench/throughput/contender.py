"""Who is measured: how each one's worker and producer are started, and what it is called."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

HERE = Path(__file__).parent
PROGRAMS = HERE / "contenders"
INSTALL = HERE / "peers" / "install"
ENVIRONMENTS = HERE.parents[1] / ".venv-peers"

SETTINGS = """\
redis_url = "{url}"

[pools.bench]
max_backlog = 2_000_000
max_backlog_per_agent = 2_000_000
max_backlog_bytes = 8_000_000_000
deadline_s = 3600

[[pools.bench.upstreams]]
name = "handler"
provider = "openai"
handler = "sluicegate_:handle"
max_in_flight = 10_000
rpm = 60_000_000
tpm = 60_000_000_000
"""


class Contender(NamedTuple):
    """`worker` and `producer` are command lines, in which {url}, {settings} and {provider} are filled in; the parts of
    the work are appended to the latter. Without a `worker` the producer does all itself. `variables` are added to the
    environment of both."""

    name: str
    title: str
    worker: tuple[str, ...]
    producer: tuple[str, ...]
    ready: str = "ready"  # what its worker says when it takes work
    is_peer: bool = False
    settings: str = SETTINGS
    variables: Mapping[str, str] = MappingProxyType({})


def make_ours(settings: str = SETTINGS, **variables: str) -> Contender:
    return Contender(
        "sluicegate",
        "**Sluicegate**",
        (sys.executable, "-m", "sluicegate_worker", "dispatch", "--config", "{settings}"),
        (sys.executable, f"{PROGRAMS}/sluicegate_.py", "producer", "{url}"),
        ready=" serves ",
        settings=settings,
        variables=variables,
    )


def _floor(kind: str) -> Contender:
    program = (sys.executable, f"{PROGRAMS}/floor.py", kind)
    return Contender(f"floor-{kind}", f"floor: {kind}", (*program, "worker", "{url}"), (*program, "producer", "{url}"))


def _peer(name: str, title: str) -> Contender:
    program = (f"{ENVIRONMENTS}/{name}/bin/python", f"{PROGRAMS}/{name}_.py")
    return Contender(name, title, (*program, "worker", "{url}"), (*program, "producer", "{url}"), is_peer=True)


def _bullmq() -> Contender:
    program = ("node", f"{PROGRAMS}/bullmq.mjs", f"{ENVIRONMENTS}/bullmq")
    return Contender("bullmq", "BullMQ", (*program, "worker", "{url}"), (*program, "producer", "{url}"), is_peer=True)


CONTENDERS = {
    contender.name: contender
    for contender in (
        make_ours(),
        _floor("stream"),
        _floor("list"),
        _bullmq(),
        _peer("dramatiq", "dramatiq"),
        _peer("saq", "SAQ"),
        _peer("arq", "arq"),
        _peer("taskiq", "taskiq"),
        _peer("docket", "docket"),
        _peer("celery", "Celery"),
        _peer("streaq", "streaQ"),
    )
}
OURS, FLOOR, NODE = "sluicegate", "floor-stream", "bullmq"
