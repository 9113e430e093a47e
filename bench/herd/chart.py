"""The chart: three numbers of each column in each scenario as bars, in SVG written by hand."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from bench.herd.scenarios import DEADLINE_S
from bench.herd.summary import Summary

WIDTH, LABEL_W, GAP, BAR_W = 920, 190, 30, 200
ROW_H, HEAD_H, TOP_H = 18, 34, 40
INK, FAINT, OURS_COLOUR, ORACLE_COLOUR, OTHER_COLOUR = "#24292f", "#d0d7de", "#0a7d6c", "#8c959f", "#d9822b"
STYLE = "font-family:-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px"


class Bars(NamedTuple):
    """One of the three columns of bars: full width is `full`; beyond it a bar is cut, and its number tells."""

    field: str
    title: str
    full: float
    form: str
    factor: float = 1.0


BARS = (
    Bars("answered", "answered in time", 100.0, "{:.0f} %", 100.0),
    Bars("sent_per_answer", "calls to the provider per answer", 5.0, "{:.2f}"),
    Bars("light_p95_s", "p95 of the light agents", DEADLINE_S, "{:.1f} s"),
)


def draw_chart(summaries: Sequence[Summary], titles: Mapping[str, str], ours: str, oracle: str) -> str:
    """Of the summaries of one model."""
    order = list(titles)
    colours = {ours: OURS_COLOUR, oracle: ORACLE_COLOUR}
    parts = [_text(LABEL_W + place * (BAR_W + GAP), 24, bars.title, "bold") for place, bars in enumerate(BARS)]
    y = TOP_H
    for scenario in dict.fromkeys(summary.scenario for summary in summaries):
        parts.append(_text(10, y + 20, scenario, "bold"))
        y += HEAD_H
        rows = [summary for summary in summaries if summary.scenario == scenario]
        for row in sorted(rows, key=lambda row: order.index(row.column)):
            weight = "bold" if row.column == ours else "normal"
            parts.append(_text(10, y + 12, titles[row.column].strip("*"), weight))
            parts.extend(_draw_row(row, y, colours.get(row.column, OTHER_COLOUR)))
            y += ROW_H
    height = y + 12
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<g style="{STYLE}" fill="{INK}">',
            *parts,
            "</g>",
            "</svg>\n",
        ]
    )


def _draw_row(row: Summary, y: int, colour: str) -> Iterator[str]:
    for place, bars in enumerate(BARS):
        x = LABEL_W + place * (BAR_W + GAP)
        yield _rect(x, y, BAR_W, FAINT, 0.35)
        if not row.medians:
            yield _text(x + 4, y + 11, "not measured")
            continue
        median = row.medians[bars.field]
        if median is None:  # a bar for what has no end would look like much of something
            yield _text(x + 4, y + 11, "never")
            continue
        value = median * bars.factor
        width = BAR_W * min(1.0, value / bars.full)
        yield _rect(x, y, width, colour, 1.0)
        label = bars.form.format(value)
        inside = width > BAR_W / 2
        yield _text(x + (4 if inside else width + 4), y + 11, label, fill="#ffffff" if inside else INK)


def _rect(x: float, y: float, width: float, fill: str, opacity: float) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{ROW_H - 4}" fill="{fill}" opacity="{opacity:g}"/>'


def _text(x: float, y: float, text: str, weight: str = "normal", fill: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:g}" font-weight="{weight}" fill="{fill}">{escape(text)}</text>'
