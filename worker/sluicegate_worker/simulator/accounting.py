"""What each provider charges a call: which of its tokens count against which limit, when it arrives and in the end.

Data. What is charged in the end and was not at arrival is charged when the call ends; what was charged at arrival and
is not in the end is given back then.
"""

from typing import Literal, NamedTuple

from sluicegate_worker.simulator.behaviour import Dimension, Profile


class Usage(NamedTuple):
    """The tokens of one call."""

    tokens_in: int
    reserved: int  # the most its answer may have; where no maximum was asked for, what it will have
    tokens_out: int


Part = Literal["tokens_in", "reserved", "tokens_out"]


class Accounting(NamedTuple):
    """The parts of a call's usage that one limit counts."""

    at_arrival: tuple[Part, ...]
    in_the_end: tuple[Part, ...]


INPUT = Accounting(("tokens_in",), ("tokens_in",))
RESERVED = Accounting(("reserved",), ("reserved",))
OUTPUT = Accounting(("tokens_out",), ("tokens_out",))
OUTPUT_AS_PRODUCED = Accounting((), ("tokens_out",))
RESERVED_UNTIL_THE_END = Accounting(("reserved",), ("tokens_out",))
INPUT_AND_RESERVED = Accounting(("tokens_in", "reserved"), ("tokens_in", "reserved"))
INPUT_AND_RESERVED_UNTIL_THE_END = Accounting(("tokens_in", "reserved"), ("tokens_in", "tokens_out"))
INPUT_AND_OUTPUT = Accounting(("tokens_in", "tokens_out"), ("tokens_in", "tokens_out"))
INPUT_AND_OUTPUT_AS_PRODUCED = Accounting(("tokens_in",), ("tokens_in", "tokens_out"))


def _each(total: Accounting, output: Accounting) -> dict[Dimension, Accounting]:
    return {"tpm": total, "tpd": total, "itpm": INPUT, "otpm": output}


ACCOUNTING: dict[Profile, dict[Dimension, Accounting]] = {
    "openai": _each(INPUT_AND_RESERVED, RESERVED),
    "azure": _each(INPUT_AND_RESERVED, RESERVED),
    "anthropic": _each(INPUT_AND_OUTPUT_AS_PRODUCED, OUTPUT_AS_PRODUCED),
    "gemini": _each(INPUT, OUTPUT_AS_PRODUCED),
    "bedrock": _each(INPUT_AND_RESERVED_UNTIL_THE_END, RESERVED_UNTIL_THE_END),
    "generic": _each(INPUT_AND_OUTPUT, OUTPUT),
}


def count(parts: tuple[Part, ...], usage: Usage) -> int:
    return sum(getattr(usage, part) for part in parts)
