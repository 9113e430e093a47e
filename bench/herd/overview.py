"""The README's table, in Markdown: five numbers of each column in each scenario, of one model of the provider."""

from collections.abc import Iterator, Mapping, Sequence

from bench.herd.summary import TRAITS, Summary, find_leads
from bench.herd.table import write_value

SHOWN = ("sent_per_answer", "calls_429", "goodput", "answered", "light_p99_s")
COLUMNS = [trait for field in SHOWN for trait in TRAITS if trait.field == field]


def write_overview(summaries: Sequence[Summary], titles: Mapping[str, str], oracle: str) -> str:
    """Of the summaries of one model. Bold is what no other column is noticeably better in, the oracle aside."""
    order = list(titles)
    lines = ["| | | " + " | ".join(trait.head for trait in COLUMNS) + " |", "|---|---|" + "---:|" * len(COLUMNS)]
    for scenario in dict.fromkeys(summary.scenario for summary in summaries):
        rows = [summary for summary in summaries if summary.scenario == scenario]
        rows.sort(key=lambda row: order.index(row.column))
        rivals = [row for row in rows if row.column != oracle]
        for row in rows:
            head = scenario if row is rows[0] else ""
            lines += [f"| {' | '.join([head, titles[row.column], *_write_cells(row, rivals)])} |"]
    return "\n".join(lines) + "\n"


def _write_cells(row: Summary, rivals: Sequence[Summary]) -> Iterator[str]:
    for trait in COLUMNS:
        if not row.medians:
            yield "–"
            continue
        text = write_value(trait, row.medians[trait.field])
        best = row in rivals and not find_leads(rivals, row, [trait])
        yield f"**{text}**" if best else text
