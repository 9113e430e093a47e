"""Embeddings: the request as OpenAI reads it, the answer as OpenAI writes it."""

import base64
import hashlib
import math
import struct
from typing import Literal

import msgspec

from sluicegate_worker.simulator import errors
from sluicegate_worker.simulator.tokens import count_tokens

MAX_INPUTS = 2_048
MAX_DIMENSIONS = 4_096
DIMENSIONS_IF_NONE_ASKED = 16  # short: nobody searches with these, and a thousand numbers would only cost time

Text = str | list[int]


class EmbeddingsBody(msgspec.Struct):
    model: str | None = None
    input: str | list[str | int | list[int]] | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None


class EmbeddingsCall(msgspec.Struct, frozen=True):
    """What of a request decides the answer."""

    model: str
    texts: list[Text]
    dimensions: int
    as_base64: bool
    tokens_in: int
    tokens_out: int = 0
    max_out: int | None = None

    def encode_answer(self, serial: str, created: int) -> bytes:  # noqa: ARG002 - embeddings have neither
        vectors = [make_vector(text, self.dimensions) for text in self.texts]
        return msgspec.json.encode(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": _pack(vector) if self.as_base64 else vector}
                    for index, vector in enumerate(vectors)
                ],
                "model": self.model,
                "usage": {"prompt_tokens": self.tokens_in, "total_tokens": self.tokens_in},
            }
        )

    def encode_stream(self, serial: str, created: int) -> None:
        """Nobody streams embeddings."""


def read_embeddings(body: EmbeddingsBody, deployment: str | None = None) -> EmbeddingsCall:
    """Raises ApiError for a body that OpenAI would refuse."""
    model = deployment or body.model
    if not model:
        raise errors.missing_model()
    if not body.input:
        raise errors.missing_parameter("input")
    texts = _split_input(body.input)
    dimensions = DIMENSIONS_IF_NONE_ASKED if body.dimensions is None else body.dimensions
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise errors.unsupported_value("dimensions", f"it must be from 1 to {MAX_DIMENSIONS}")
    if len(texts) > MAX_INPUTS:
        raise errors.unsupported_value("input", f"it may have at most {MAX_INPUTS} texts")
    return EmbeddingsCall(
        model=model,
        texts=texts,
        dimensions=dimensions,
        as_base64=body.encoding_format == "base64",
        tokens_in=sum(count_tokens(text) if isinstance(text, str) else len(text) for text in texts),
    )


def make_vector(text: Text, dimensions: int) -> list[float]:
    """Always the same for the same text, and of length one."""
    source = text if isinstance(text, str) else repr(text)
    numbers = [byte - 127.5 for byte in hashlib.shake_128(source.encode()).digest(dimensions)]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


# A list of numbers is one text that was cut into tokens before; a list of anything else is one text each.
def _split_input(given: str | list[str | int | list[int]]) -> list[Text]:
    if isinstance(given, str):
        return [given]
    numbers = [item for item in given if isinstance(item, int)]
    texts = [item for item in given if not isinstance(item, int)]
    if numbers and texts:
        raise errors.wrong_type("'input' mixes texts and tokens")
    return [numbers] if numbers else texts


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
