"""What the scripts keep as one text, taken apart: an entry's `call` in `run` (`include/holder.lua`), a request's
`facts` (`include/request.lua`)."""

from collections.abc import Mapping

CALL = (
    "slot_us", "leased_us", "tokens_in", "tokens_out", "tokens", "cost", "lane", "start_us", "dispatcher", "send",
    "handed_calls", "handed_in", "handed_out", "alone",
)  # fmt: skip
FACTS = (
    "agent", "lane", "accepted_us", "deadline_us", "digest", "on_unknown", "bytes", "cost", "tokens_in", "tokens_out",
    "model",
)  # fmt: skip


def parse_entry(fields: Mapping[str, str]) -> dict[str, str]:
    """`alone` is missing where it is not."""
    whole = {name: value for name, value in fields.items() if name != "call"}
    return whole | dict(zip(CALL, fields.get("call", "").split(), strict=False))


def parse_request(fields: Mapping[str, str]) -> dict[str, str]:
    """Of its hash: the facts among the other fields."""
    whole = {name: value for name, value in fields.items() if name != "facts"}
    return whole | dict(zip(FACTS, fields.get("facts", "").split(" ", len(FACTS) - 1), strict=False))


def replace_fact(facts: str, name: str, value: str) -> str:
    """As another's hand would."""
    parts = facts.split(" ", len(FACTS) - 1)
    parts[FACTS.index(name)] = value
    return " ".join(parts)
