"""What a scheduler did, step by step and in order: a request arrives, or one is chosen to be sent."""

from typing import NamedTuple


class Step(NamedTuple):
    """`wait_us`: from the arrival until it is sent, which may be a moment after it was chosen."""

    at_us: int
    agent: str
    tokens: int
    wait_us: int
    arrives: bool
