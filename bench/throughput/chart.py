"""The chart: round trips a second as bars, in SVG written by hand."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from bench.throughput.contender import CONTENDERS, OURS
from bench.throughput.figures import Figures

WIDTH, LABEL_W, BAR_W, ROW_H, TOP_H = 760, 150, 480, 22, 44
INK, OURS_COLOUR, FLOOR_COLOUR, PEER_COLOUR = "#24292f", "#0a7d6c", "#8c959f", "#d9822b"
STYLE = "font-family:-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px"


def draw_chart(figures: Sequence[Figures]) -> str:
    """With 1,000 outstanding, the fastest first."""
    loaded = sorted((one for one in figures if one.part.startswith("closed:1000")), key=lambda one: -one.rate)
    height = TOP_H + ROW_H * len(loaded) + 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<g style="{STYLE}" fill="{INK}">',
            '<text x="10" y="24" font-weight="bold">round trips a second, 1,000 outstanding</text>',
            *_draw_rows(loaded),
            "</g>",
            "</svg>\n",
        ]
    )


def _draw_rows(loaded: Sequence[Figures]) -> Iterator[str]:
    most = max((one.rate for one in loaded), default=1.0) or 1.0
    for place, one in enumerate(loaded):
        y, contender = TOP_H + ROW_H * place, CONTENDERS[one.contender]
        ours = one.contender == OURS
        colour = OURS_COLOUR if ours else PEER_COLOUR if contender.is_peer else FLOOR_COLOUR
        weight = "bold" if ours else "normal"
        width = max(1.0, BAR_W * one.rate / most)
        yield f'<text x="10" y="{y + 13}" font-weight="{weight}">{escape(contender.title.strip("*"))}</text>'
        yield f'<rect x="{LABEL_W}" y="{y + 2}" width="{width:.1f}" height="14" fill="{colour}"/>'
        yield f'<text x="{LABEL_W + width + 6:.1f}" y="{y + 13}">{one.rate:,.0f}</text>'
