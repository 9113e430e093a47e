"""What a process of agents is told: a file that the harness writes and agents of any venv read."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One answer that an agent wants, `offset_s` after the start of the run."""

    number: int
    offset_s: float
    agent: str
    body: str


@dataclass(frozen=True)
class Job:
    """The part of the traffic that one process offers, and where."""

    column: str
    base_url: str
    api_key: str
    redis_url: str | None
    processes: int
    deadline_s: float
    capacity: list[tuple[float, float]]  # from when on the provider answers how many a second; only the oracle looks
    requests: list[Request]
    ready_file: str
    start_file: str
    outcome_file: str

    @property
    def limit_per_s(self) -> float:
        """What the provider is known to allow before anything happens to it."""
        return self.capacity[0][1]


@dataclass(frozen=True)
class Wish:
    """A request whose time has come. Times are the event loop's."""

    request: Request
    wanted_at: float
    deadline_at: float

    @property
    def began_at(self) -> float:
        """The start of the run."""
        return self.wanted_at - self.request.offset_s


Ask = Callable[[Wish], Awaitable[None]]


class NotAnswered(Exception):
    """There will be no answer; the text is the reason in a few words."""


def write_job(job: Job, path: Path) -> None:
    path.write_text(json.dumps(asdict(job)), encoding="utf-8")


def read_job(path: Path) -> Job:
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["requests"] = [Request(**request) for request in fields["requests"]]
    fields["capacity"] = [(at_s, per_s) for at_s, per_s in fields["capacity"]]
    return Job(**fields)
