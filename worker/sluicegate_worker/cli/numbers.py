"""Numbers on the command line."""

import math
from typing import Any

import click


class Finite(click.FloatRange):
    """A range without `nan`, which compares with nothing and would pass for a number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a number to count with.", param, ctx)
        return number


def positive(high: float) -> Finite:
    return Finite(0, high, min_open=True)
