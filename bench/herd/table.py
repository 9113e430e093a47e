"""The table for people, in Markdown: one for each scenario and model, and below it who does better than Sluicegate."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from bench.herd.scenarios import Model, Scenario
from bench.herd.summary import TRAITS, Lead, Summary, Trait, find_leads

BUSY_MAX = 0.8
LATE_S_MAX = 0.25
FORMS = {"seconds": "{:.1f} s", "share": "{:.0%}", "ratio": "{:.2f}", "count": "{:.0f}"}
LEGEND = """\
Medians over the seeds; in brackets, how many times the oracle's. *Calls per answer*, *429s* and *in 100 ms* (the most
calls that arrived in any tenth of a second) are counted by the provider. *Goodput*: answers in the time in which a
queue that loses nothing would be busy, as a share of what the limit allows in it. *Answered*: before the agent's
deadline. *p50* to *p99*: from wanting to the answer, of all requests, so that what was not answered counts as *never*.
*Jain*: how evenly agents had got their fair shares of all answers when the traffic ended.
"""


def write_tables(
    summaries: Sequence[Summary],
    scenarios: Mapping[str, Scenario],
    models: Mapping[str, Model],
    titles: Mapping[str, str],
    ours: str,
) -> str:
    def place(summary: Summary) -> tuple[int, int]:
        return list(models).index(summary.model), list(scenarios).index(summary.scenario)

    parts = [LEGEND]
    order = list(titles)
    for _, group in groupby(sorted(summaries, key=place), place):
        rows = sorted(group, key=lambda summary: order.index(summary.column))
        scenario, model = rows[0].scenario, rows[0].model
        traits = [trait for trait in TRAITS if scenarios[scenario].hogs or not trait.light]
        parts.append(f"### `{scenario}`, `{model}`\n\n{_introduce(scenarios[scenario], models[model])}\n")
        parts.append("\n".join(_write_rows(rows, traits, titles)) + "\n")
        parts.extend(_write_remarks(rows, traits, titles, ours))
    return "\n".join(parts)


def write_value(trait: Trait, value: float | None) -> str:
    if value is None:
        return "never" if trait.unit == "seconds" else "–"
    return FORMS[trait.unit].format(value).replace("%", " %")


def _introduce(scenario: Scenario, model: Model) -> str:
    return f"Offered: {scenario.sentence}. To the provider, {model.sentence}."


def _write_rows(rows: Iterable[Summary], traits: Sequence[Trait], titles: Mapping[str, str]) -> Iterator[str]:
    yield "| | " + " | ".join(trait.head for trait in traits) + " |"
    yield "|---|" + "---:|" * len(traits)
    for row in rows:
        cells = [_write_cell(row, trait) for trait in traits] if row.medians else ["–"] * len(traits)
        yield f"| {titles[row.column]} | " + " | ".join(cells) + " |"


def _write_cell(row: Summary, trait: Trait) -> str:
    ratio = row.to_oracle.get(trait.field)
    value = write_value(trait, row.medians[trait.field])
    return value if ratio is None else f"{value} ({ratio:.2f})"


def _write_remarks(
    rows: Sequence[Summary], traits: Sequence[Trait], titles: Mapping[str, str], ours: str
) -> Iterator[str]:
    for row in rows:
        if row.impossible is not None:
            yield f"{titles[row.column]}: not measured. {row.impossible}\n"
        if row.busy is not None and row.busy > BUSY_MAX:
            yield (
                f"{titles[row.column]}: what stands between agents and provider wanted a core for "
                f"{100 * row.busy:.0f} % of the time, so that the machine, too, decided how fast it was.\n"
            )
        if row.late_s_max > LATE_S_MAX:
            yield f"{titles[row.column]}: the machine fell behind; agents asked up to {row.late_s_max:.1f} s late.\n"
    own = next((row for row in rows if row.column == ours and row.medians), None)
    if own is None:
        return
    leads = find_leads(rows, own, traits)
    yield f"Better than {titles[ours]}: {'; '.join(_write_leads(leads, titles)) or 'none in anything'}.\n"


def _write_leads(leads: Sequence[Lead], titles: Mapping[str, str]) -> Iterator[str]:
    def who(lead: Lead) -> str:
        return lead.column

    for column, group in groupby(sorted(leads, key=who), who):
        points = (
            f"{lead.trait.head} {write_value(lead.trait, lead.its)} against {write_value(lead.trait, lead.ours)}"
            for lead in group
        )
        yield f"{titles[column]} in {', '.join(points)}"
