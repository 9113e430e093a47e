"""What a PromQL expression asks for: its metrics, with the labels that it selects and aggregates by.

Not a parser: promtool reads the grammar. This reads the forms in which our rules and panels are written, aggregations
as `sum by (labels) (…)`.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_METRIC = re.compile(r"\b(?<![$.])([a-zA-Z_][\w:]*)\b(?!\s*\()(\{[^}]*\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_BY = re.compile(r"\bby \(([^)]*)\) \(")
_LABELS = re.compile(r"\b(?:by|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORDS = {"and", "or", "unless", "by", "on", "bool", "offset"}
_DURATION = re.compile(r"\[[^\]]*\]")


class Selection(NamedTuple):
    """One metric in an expression: `wanted` are the values by label that it selects, alternatives apart; `kept` the
    labels that the closest aggregation around it keeps; `increases` whether `increase` is taken of it."""

    name: str
    wanted: dict[str, set[str]]
    kept: set[str]
    increases: bool


def read_selections(expression: str) -> list[Selection]:
    found = []
    for name, braces, start in _find_metrics(expression):
        wanted = {label: set(values.split("|")) for label, values in _MATCHER.findall(braces)}
        increases = expression[:start].endswith("increase(")
        found.append(Selection(name, wanted, _kept_around(expression, start), increases))
    return found


def _find_metrics(expression: str) -> Iterator[tuple[str, str, int]]:
    blank = _LABELS.sub(lambda it: " " * len(it[0]), expression)
    blank = _DURATION.sub(lambda it: " " * len(it[0]), blank)
    for match in _METRIC.finditer(blank):
        inside = blank.rfind("{", 0, match.start()) > blank.rfind("}", 0, match.start())
        if match[1] not in _WORDS and not inside:
            yield match[1], match[2] or "", match.start()


def _kept_around(expression: str, place: int) -> set[str]:
    """Those of the last `by` whose parentheses enclose this place."""
    around = [one for one in _BY.finditer(expression) if one.end() <= place < _closing(expression, one.end())]
    return set(re.findall(r"\w+", around[-1][1])) if around else set()


def _closing(expression: str, start: int) -> int:
    depth = 1
    for at in range(start, len(expression)):
        depth += {"(": 1, ")": -1}.get(expression[at], 0)
        if depth == 0:
            return at
    return len(expression)
