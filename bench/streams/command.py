"""`scripts/bench streams`: how late tokens are that come through Sluicegate, beside those read from the provider
itself."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import click
import msgspec

from bench.end_to_end.command import SETTINGS
from bench.throughput.contender import make_ours
from bench.throughput.measure import running, wait_until_ready
from sluicegate_worker.demo.embedded import HOST, EmbeddedServer
from support.source_tree import ROOT

HERE = Path(__file__).parent
WAYS = {"direct": "from the provider itself", "queue": "**through Sluicegate**"}
FOLDER = click.Path(file_okay=False, path_type=Path)
COUNTS = (1, 50, 500)
VARIABLES = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
OURS = make_ours(SETTINGS)
DISPATCH = (*OURS.worker, "--concurrency", "1000")


class Late(msgspec.Struct, frozen=True):
    """Milliseconds from the provider's sending to the agent's reading."""

    p50_ms: float
    p99_ms: float
    most_ms: float


class Run(msgspec.Struct, frozen=True):
    """So many streams at once, one way."""

    way: str
    streams: int
    first: Late
    token: Late


class Document(msgspec.Struct, frozen=True):
    """Everything that was measured."""

    runs: list[Run]
    schema: int = 1


@click.command("streams")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--streams", "counts", multiple=True, type=click.IntRange(1, 5_000), default=COUNTS, show_default=True)
@click.option("--out", type=FOLDER, help="Where to write streams.md and streams.json.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def command(rounds: int, counts: tuple[int, ...], out: Path | None, as_json: bool) -> None:
    """A provider that sends a token every 100 ms to each of so many streams; one dispatcher, one process of agents."""
    runs: list[Run] = []
    for number in range(1, rounds + 1):
        for count in counts:
            click.echo(f"round {number} of {rounds}: {count} streams", err=True)
            runs += _measure(count)
    document = msgspec.json.encode(Document(runs))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "streams.md").write_text(write_table(runs), encoding="utf-8")
        (out / "streams.json").write_bytes(msgspec.json.format(document) + b"\n")
    click.echo(document.decode() if as_json else write_table(runs))


def _measure(count: int) -> list[Run]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer("--appendonly", "no") as server:
        place, words = Path(folder), Path(folder) / "provider"
        upstream = (sys.executable, str(HERE / "upstream.py"))
        with running(upstream, {}, words) as provider:
            wait_until_ready(provider, "the provider", "port ", words)
            url = f"http://{HOST}:{int(words.read_text(encoding='utf-8').split()[1])}"
            names = {"url": server.url, "provider": url, "settings": str(place / "sluicegate.toml")}
            (place / "sluicegate.toml").write_text(OURS.settings.format(**names), encoding="utf-8")
            with running(DISPATCH, names, place / "dispatcher") as dispatcher:
                wait_until_ready(dispatcher, "the dispatcher", OURS.ready, place / "dispatcher")
                return [_read(way, {"direct": url, "queue": server.url}[way], count, place) for way in WAYS]


def _read(way: str, url: str, count: int, folder: Path) -> Run:
    line = (sys.executable, "-m", "bench.streams.reader", way, url, str(count))
    with running(line, {}, folder / way, VARIABLES, subprocess.PIPE) as reader:
        said = (reader.stdout.read() if reader.stdout else b"").decode()
    if not said:
        raise click.ClickException(f"the agents failed: {(folder / way).read_text(errors='replace')[-500:]}")
    found = {name: msgspec.convert(late, Late) for name, late in json.loads(said).items()}
    return Run(way, count, **found)


def write_table(runs: Sequence[Run]) -> str:
    """Medians over the rounds; the longest is that of all."""
    lines = [
        "| streams at once | | first byte late, p50 ms | p99 | token late, p50 ms | p99 | most |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    for count in dict.fromkeys(run.streams for run in runs):
        for way, title in WAYS.items():
            mine = [run for run in runs if (run.way, run.streams) == (way, count)]
            first = [median(getattr(run.first, name) for run in mine) for name in ("p50_ms", "p99_ms")]
            token = [median(getattr(run.token, name) for run in mine) for name in ("p50_ms", "p99_ms")]
            cells = [*first, *token, max(run.token.most_ms for run in mine)]
            lines.append(f"| {count} | {title} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"
