"""The tables for people, in Markdown."""

from collections.abc import Iterator, Mapping, Sequence

from bench.scheduling.comparison import TITLES, Comparison
from bench.scheduling.cost import VERBS, Cost
from bench.scheduling.verdict import Verdict

FAIRNESS_LEGEND = """\
*Jain*: of service (in time of the limit) over sliding minutes, among the agents that waited throughout: mean and least.
*Of the share*: Jain's index of what each agent got of its max-min share by the end. *Difference*: the most that one
agent was served more than another while both waited, of the pair that comes closest to its bound; *of the bound* is
that divided by the largest request of each, which start-time fair queueing never exceeds. *Time*: use of the limit, by
the dimension that is scarcest for each request; *TPM* and *RPM*: of each. What was not sent by the end: *never*.
"""
COST_LEGEND = """\
Microseconds of the server for one request, median over rounds; in brackets, how many times the first line's. *Memory*:
bytes of one waiting request, its body of 500 bytes and its share of its agent's keys included.
"""


def write_tables(
    comparisons: Sequence[Comparison], costs: Sequence[Cost], memory: Mapping[tuple[int, int], float]
) -> str:
    parts = []
    if comparisons:
        parts.append(f"## Fairness\n\n{FAIRNESS_LEGEND}")
        parts += ["\n".join(_write_comparison(comparison)) + "\n" for comparison in comparisons]
    if costs:
        parts += [f"## Cost of the scripts\n\n{COST_LEGEND}", "\n".join(_write_costs(costs, memory)) + "\n"]
    return "\n".join(parts).rstrip("\n")


def _write_comparison(comparison: Comparison) -> Iterator[str]:
    yield f"### `{comparison.load}`\n"
    yield (
        f"{comparison.requests:,} requests in {comparison.duration_s / 60:g} minutes: {comparison.sentence}; "
        f"{comparison.rpm:,} RPM, {comparison.tpm:,} TPM.\n"
    )
    who = "light agents' p50 | p99 | p99 without the hog | ratio" if comparison.without_hog else "p50 | p99"
    head = f"| | Jain | least | of the share | difference | of the bound | {who} | time | TPM | RPM |"
    yield head
    yield "|---|" + "---:|" * (head.count("|") - 2)
    for name, verdict in comparison.verdicts.items():
        waits = _waits(verdict, comparison.without_hog.get(name))
        uses = [f"{use:.0%}".replace("%", " %") for use in (verdict.time_use, verdict.tpm_use, verdict.rpm_use)]
        yield f"| {TITLES[name]} | " + " | ".join([*_fairness(verdict), *waits, *uses]) + " |"


def _fairness(verdict: Verdict) -> list[str]:
    indices = [_number(value, "{:.3f}") for value in (verdict.jain, verdict.jain_min, verdict.jain_shares)]
    if verdict.difference_s is None or not verdict.bound_s:
        return [*indices, "–", "–"]
    return [*indices, f"{verdict.difference_s:.2f} s", f"{verdict.difference_s / verdict.bound_s:.2f}"]


def _waits(verdict: Verdict, without: Verdict | None) -> list[str]:
    if without is None:
        return [_seconds(verdict.p50_s), _seconds(verdict.p99_s)]
    with_s, without_s = verdict.light_p99_s, without.light_p99_s
    ratio = f"{with_s / without_s:.2f}" if with_s is not None and without_s else "–"
    return [_seconds(verdict.light_p50_s), _seconds(with_s), _seconds(without_s), ratio]


def _write_costs(costs: Sequence[Cost], memory: Mapping[tuple[int, int], float]) -> Iterator[str]:
    yield "| agents | requests | batch | " + " | ".join(VERBS) + " | memory |"
    yield "|---:|---:|---:|" + "---:|" * (len(VERBS) + 1)
    for cost in costs:
        cells = [f"{cost.us[verb]:.0f} ({cost.ratio[verb]:.2f})" for verb in VERBS]
        kept = f"{memory[cost.agents, cost.requests]:,.0f}"
        yield f"| {cost.agents:,} | {cost.requests:,} | {cost.batch} | {' | '.join(cells)} | {kept} |"


def _seconds(value_s: float | None) -> str:
    return _number(value_s, "{:.1f} s", "never")


def _number(value: float | None, form: str, none: str = "–") -> str:
    return none if value is None else form.format(value)
