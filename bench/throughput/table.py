"""The figures as Markdown."""

from collections.abc import Callable, Iterator, Sequence

from bench.throughput.contender import CONTENDERS, FLOOR, OURS
from bench.throughput.figures import Figures, find_figures

NOTHING_A_S = 100  # what is slower has come to a stop: nothing can be told of one request
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


# In seconds per 1,000. Time in commands and scripts is the server's own, by the clock: where processes wait for a core,
# that is a little more than its CPU.
GAP: tuple[tuple[str, Callable[[Figures], float]], ...] = (
    ("producer: checks, estimate, digest, batching, waiting for the outcome", lambda one: one.producer_s),
    ("worker: slot, call, judgement, usage, batching", lambda one: one.worker_s),
    ("server: commands", lambda one: one.commands_us / 1e3),
    ("server: Lua around them", lambda one: max(0, one.scripts_us - one.commands_us) / 1e3),
    ("server: sockets and all else", lambda one: one.server_s - max(one.commands_us, one.scripts_us) / 1e3),
    ("all", lambda one: one.cpu_s),
)


def write_table(figures: Sequence[Figures]) -> str:
    """A line for each contender."""
    names = [name for name in CONTENDERS if any(one.contender == name for one in figures)]
    lines = [_line(["", *(title for title, *_ in COLUMNS)]), "|---|" + "--:|" * len(COLUMNS)]
    lines += [_line([CONTENDERS[name].title, *_cells(figures, name)]) for name in names]
    return "\n".join(lines) + "\n"


def write_gap(figures: Sequence[Figures]) -> str:
    """Where the CPU of a round trip goes beyond what the floor's transport takes; empty unless both ran."""
    ours, floor = (find_figures(figures, name, "closed:1000") for name in (OURS, FLOOR))
    if ours is None or floor is None:
        return ""
    rows = [(title, 1e3 * count(ours), 1e3 * count(floor)) for title, count in GAP]
    lines = [
        _line(["µs of CPU for a round trip @1000", "ours", "floor: stream", "more"]),
        "|---|--:|--:|--:|",
        *(_line([title, f"{mine:,.0f}", f"{its:,.0f}", f"{mine - its:,.0f}"]) for title, mine, its in rows),
    ]
    return "\n".join(lines) + "\n"


def _cells(figures: Sequence[Figures], name: str) -> Iterator[str]:
    for _, kind, field, digits in COLUMNS:
        found = find_figures(figures, name, kind)
        works = found is not None and (found.rate >= NOTHING_A_S or field == "rate")
        value: float | None = getattr(found, field) if works else None
        yield "–" if value is None else f"{value:,.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
