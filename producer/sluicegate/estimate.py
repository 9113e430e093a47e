"""How many tokens a body will cost, guessed from one look at it before anything is sent; pure.

The guess only has to be near: what a call really used replaces it when the answer comes.
"""

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from sluicegate.errors import InvalidRequest

_BYTES_PER_TOKEN = 4
_MEDIA_TOKENS = 1_000  # an image or a file costs by its size in pixels or pages, which its base64 does not tell
_TOKENS_MAX = 1_000_000_000

_WITHOUT_OUTPUT = (
    "/embeddings",
    "/moderations",
    "/count_tokens",
    ":embedContent",
    ":batchEmbedContents",
    ":countTokens",
)
_MEDIA_KEYS = frozenset({"data", "b64_json", "file_data", "bytes"})
_SCHEMA_FIELDS = frozenset({"tools", "functions", "toolConfig", "response_format", "text", "generationConfig"})

_DATA_URL = re.compile(r"data:[^\s,]{0,200};base64,")
# Under the same keys Anthropic's text documents and tools' results have plain text; its length does count.
_BASE64 = re.compile(r"[A-Za-z0-9+/_=\r\n-]*")
_LOOKED_AT = 256  # characters: no text goes on for so long without a blank


class Peek(NamedTuple):
    """What one look at a body tells. `tokens_out` is the most the caller lets the answer have, None where it does not
    say."""

    model: str | None
    tokens_in: int
    tokens_out: int | None


class _Model(Struct):
    model: Any = None


_decode = msgspec.json.Decoder().decode
_decode_model = msgspec.json.Decoder(_Model | list[msgspec.Raw] | str | int | float | bool | None).decode


def read_peek(body: bytes, path: str) -> Peek:
    """Raises InvalidRequest where the body is not JSON or its model not text. The path may be normalised or not."""
    if not body:
        return Peek(None, 0, 0)
    try:
        found = _decode(body)
    except (ValueError, RecursionError):
        return _peek_from_afar(body, path)
    fields = found if type(found) is dict else {}
    return Peek(_checked(fields.get("model")), _count_input(found), 0 if _has_no_output(path) else _asked(fields))


def _peek_from_afar(body: bytes, path: str) -> Peek:
    """For what is no JSON, and for JSON with numbers beyond Python's: providers may take them, so it is only looked
    at."""
    try:
        body.decode()  # the text of what is skipped below is not looked at
        found = _decode_model(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    model = _checked(found.model if isinstance(found, _Model) else None)
    return Peek(model, -(-len(body) // _BYTES_PER_TOKEN), 0 if _has_no_output(path) else None)


def _checked(model: object) -> str | None:
    if model is not None and not isinstance(model, str):
        raise InvalidRequest("the body's model must be text")
    return model


def _has_no_output(path: str) -> bool:
    return str(path).partition("?")[0].endswith(_WITHOUT_OUTPUT)


def _count_input(found: Any) -> int:
    if type(found) is not dict:
        text_bytes, tokens = _count([[found]])
    elif _SCHEMA_FIELDS.isdisjoint(found):
        text_bytes, tokens = _count([found])
    else:
        text_bytes, tokens = _count([{name: value for name, value in found.items() if name not in _SCHEMA_FIELDS}])
        schemas = [value for name, value in found.items() if name in _SCHEMA_FIELDS]
        schema_bytes, schema_tokens = _count([schemas], keys_count=True)
        text_bytes, tokens = text_bytes + schema_bytes, tokens + schema_tokens
    return tokens - (-text_bytes // _BYTES_PER_TOKEN)


def _count(todo: list[Any], *, keys_count: bool = False) -> tuple[int, int]:
    """Bytes of text, and tokens of what costs otherwise: media, and lists of token ids. Not by recursion: the decoder
    goes as deep as the stack allows."""
    text_bytes = tokens = 0
    while todo:
        node = todo.pop()
        if type(node) is dict:
            if keys_count:
                text_bytes += sum(map(_size, node))
            children: Any = node.values()
            if not _MEDIA_KEYS.isdisjoint(node):
                children = _without_media(node)
                tokens += (len(node) - len(children)) * _MEDIA_TOKENS
        elif type(node[0]) is int and set(map(type, node)) == {int}:
            tokens += len(node)
            continue
        else:
            children = node
        for child in children:
            kind = type(child)
            if kind is str:
                if child.startswith("data:") and _DATA_URL.match(child):
                    tokens += _MEDIA_TOKENS
                else:
                    text_bytes += len(child) if child.isascii() else len(child.encode())
            elif child and (kind is dict or kind is list):
                todo.append(child)
    return text_bytes, tokens


def _without_media(node: dict[str, Any]) -> list[Any]:
    return [
        value
        for name, value in node.items()
        if name not in _MEDIA_KEYS or type(value) is not str or not _is_media(value)
    ]


def _is_media(text: str) -> bool:
    return _DATA_URL.match(text) is not None or _BASE64.fullmatch(text, 0, _LOOKED_AT) is not None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _asked(fields: dict[str, Any]) -> int | None:
    """What the caller says in the words of any provider: which one it goes to is not known here."""
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        most = _whole(fields.get(name))
        if most is not None:
            answers = [number for number in (fields.get("n"), fields.get("best_of")) if number is not None]
            return _times(most, answers) if answers else most
    gemini = fields.get("generationConfig")
    if isinstance(gemini, dict) and (most := _whole(gemini.get("maxOutputTokens"))) is not None:
        return _times(most, [gemini.get("candidateCount")])
    bedrock = fields.get("inferenceConfig")
    return _whole(bedrock.get("maxTokens")) if isinstance(bedrock, dict) else None


def _times(most: int, answers: list[Any]) -> int | None:
    return _whole(most * max(_whole(number) or 1 for number in answers))


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else None
