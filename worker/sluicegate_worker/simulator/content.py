"""The text of messages: how much of it is asked with, and as much as is to be answered with."""

from collections.abc import Iterator
from itertools import cycle, islice

import msgspec

from sluicegate_worker.simulator.tokens import count_tokens

MAX_ANSWER_TOKENS = 131_072
WORDS = ("the", "gate", "opens", "a", "little", "and", "water", "goes", "through", "as", "evenly", "as", "it", "can")


class Part(msgspec.Struct):
    text: str = ""


Content = str | list[Part] | None


class Message(msgspec.Struct):
    content: Content = None


def count_content_tokens(content: Content) -> int:
    if content is None:
        return 0
    if isinstance(content, str):
        return count_tokens(content)
    return sum(count_tokens(part.text) for part in content)


def write_text(tokens: int) -> str:
    return " ".join(islice(cycle(WORDS), tokens))


def write_tokens(tokens: int) -> Iterator[str]:
    """The same text, one token after the other."""
    for number, word in enumerate(islice(cycle(WORDS), tokens)):
        yield f" {word}" if number else word
