"""`scripts/bench end-to-end`: what a dispatcher adds to the HTTP client that it calls providers with."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click
import msgspec

from bench.throughput.contender import Contender, make_ours
from bench.throughput.measure import Part, measure, running, wait_until_ready
from sluicegate_worker.demo.embedded import HOST

HERE = Path(__file__).parent
OUTSTANDING = 200
SETTINGS = """\
redis_url = "{url}"

[pools.bench]

[[pools.bench.upstreams]]
name = "http"
provider = "openai"
base_url = "{provider}"
max_in_flight = 10_000
rpm = 60_000_000
tpm = 60_000_000_000
"""
BARE = Contender("bare", "HTTP client alone", (), (sys.executable, str(HERE / "bare.py"), "producer", "{provider}"))
OURS = make_ours(SETTINGS)


class Round(msgspec.Struct, frozen=True):
    """Each one's calls under load and alone."""

    bare: list[Part]
    ours: list[Part]

    @property
    def bare_calls_a_core(self) -> float:
        """Calls for each second of CPU that the process which makes them takes."""
        return self.bare[0].count / self.bare[0].producer_s

    @property
    def our_calls_a_core(self) -> float:
        return self.ours[0].count / self.ours[0].worker_s

    @property
    def added_ms(self) -> tuple[float, float]:
        """To a call without load: p50, p99."""
        return self.ours[1].p50_ms - self.bare[1].p50_ms, self.ours[1].p99_ms - self.bare[1].p99_ms


class Document(msgspec.Struct, frozen=True):
    """Everything that was measured."""

    rounds: list[Round]
    schema: int = 1


@click.command("end-to-end")
@click.option("--rounds", type=click.IntRange(1, 100), default=9, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=2.0, show_default=True, help="Of each load.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def command(rounds: int, seconds: float, as_json: bool) -> None:
    """Calls over HTTP to a provider that answers at once: through Sluicegate, and by the same client alone."""
    parts = [f"closed:{OUTSTANDING}:{seconds:g}", "idle:200"]
    found = []
    for number in range(1, rounds + 1):
        click.echo(f"round {number} of {rounds}", err=True)
        with tempfile.TemporaryDirectory() as folder:
            words = Path(folder) / "provider"
            with _core_apart() as core, running((sys.executable, str(HERE / "upstream.py")), {}, words) as upstream:
                wait_until_ready(upstream, "the provider", "port ", words)
                provider = f"http://{HOST}:{int(words.read_text(encoding='utf-8').split()[1])}"
                bare = measure(BARE, parts, durable=False, provider=provider, core=core)
                found.append(Round(bare, measure(OURS, parts, durable=False, provider=provider, core=core)))
    click.echo(msgspec.json.encode(Document(found)).decode() if as_json else write_table(found))


@contextmanager
def _core_apart() -> Iterator[int | None]:
    """One core for the process that makes the calls, whoever's it is, and the others for all else: it shares its caches
    with nobody. None where there is but one core, or the system cannot."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(cores) < 2:
        yield None
        return
    apart = min(cores)
    os.sched_setaffinity(0, cores - {apart})
    try:
        yield apart
    finally:
        os.sched_setaffinity(0, cores)


def write_table(rounds: list[Round]) -> str:
    """Medians; the ratio is the median of the rounds' ratios."""
    ratio = median(one.our_calls_a_core / one.bare_calls_a_core for one in rounds)
    return (
        "| | calls a second and core | of the bare client | p50 ms unloaded | p99 |\n|---|--:|--:|--:|--:|\n"
        f"| HTTP client alone | {median(one.bare_calls_a_core for one in rounds):,.0f} | 1.00 | "
        f"{median(one.bare[1].p50_ms for one in rounds):.2f} | {median(one.bare[1].p99_ms for one in rounds):.2f} |\n"
        f"| **Sluicegate** | {median(one.our_calls_a_core for one in rounds):,.0f} | {ratio:.2f} | "
        f"+{median(one.added_ms[0] for one in rounds):.2f} | +{median(one.added_ms[1] for one in rounds):.2f} |\n"
    )
