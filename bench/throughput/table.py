"""The figures as Markdown."""

from collections.abc import Iterator, Sequence

from bench.throughput.contender import CONTENDERS
from bench.throughput.figures import Figures, find_figures

NOTHING_A_S = 10  # what is slower has come to a stop: nothing can be told of one request
COLUMNS = (
    ("rt/s @1000", "closed:1000", "rate", 0),
    ("@200", "closed:200", "rate", 0),
    ("of the floor", "closed:1000", "of_floor", 2),
    ("of the best Python peer", "closed:1000", "of_best_python", 2),
    ("of BullMQ", "closed:1000", "of_node", 2),
    ("of BullMQ @200", "closed:200", "of_node", 2),
    ("enqueued/s", "enqueue", "rate", 0),
    ("of the best Python peer", "enqueue", "of_best_python", 2),
    ("of BullMQ", "enqueue", "of_node", 2),
    ("idle p50 ms", "idle", "p50_ms", 2),
    ("p99", "idle", "p99_ms", 1),
    ("CPU s/1,000", "closed:1000", "cpu_s", 3),
    ("producer", "closed:1000", "producer_s", 3),
    ("worker", "closed:1000", "worker_s", 3),
    ("server", "closed:1000", "server_s", 3),
    ("reads/rt", "closed:1000", "reads", 2),
    ("commands/rt", "closed:1000", "commands", 1),
    ("µs in commands", "closed:1000", "commands_us", 0),
    ("µs in scripts", "closed:1000", "scripts_us", 0),
    ("bytes waiting", "enqueue", "memory_bytes", 0),
)


def write_table(figures: Sequence[Figures]) -> str:
    """A line for each contender."""
    names = [name for name in CONTENDERS if any(one.contender == name for one in figures)]
    lines = [_line(["", *(title for title, *_ in COLUMNS)]), "|---|" + "--:|" * len(COLUMNS)]
    lines += [_line([CONTENDERS[name].title, *_cells(figures, name)]) for name in names]
    return "\n".join(lines) + "\n"


def _cells(figures: Sequence[Figures], name: str) -> Iterator[str]:
    for _, kind, field, digits in COLUMNS:
        found = find_figures(figures, name, kind)
        works = found is not None and (found.rate >= NOTHING_A_S or field == "rate")
        value: float | None = getattr(found, field) if works else None
        yield "–" if value is None else f"{value:,.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
