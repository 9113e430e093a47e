"""Reads plain values into settings structs, or says in one sentence which setting is wrong and what it must be.

What a setting must be stands beside its type, as the description of its `msgspec.Meta`; this is where it is said aloud.
"""

import re
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from sluicegate.errors import InvalidRequest

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_SHOWN_LENGTH_MAX = 40
_SHOWN_NUMBER_MAX = 10**18  # Python refuses to write numbers of thousands of digits


class SettingsError(InvalidRequest):
    """A setting is wrong; the sentence names it in full and says the cure."""


def read_fields(kind: type[msgspec.Struct], source: object, path: str) -> dict[str, Any]:
    """Reads a table, or checks a struct that was made in Python, whose types nobody has checked yet."""
    table = msgspec.structs.asdict(source) if isinstance(source, kind) else source
    if not isinstance(table, dict):
        raise SettingsError(f"{path} must be a table, not {show(table)}")
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key in table:
        if key not in fields:
            raise SettingsError(f"{join(path, key)} is not a setting; {suggest(key, fields)}")
    for name, field in fields.items():
        if field.required and name not in table:
            raise SettingsError(f"{join(path, name)} is missing; it must be {describe(field.type)}")
    return {name: read_value(fields[name].type, value, join(path, name)) for name, value in table.items()}


def read_value(kind: Any, value: object, path: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise SettingsError(f"{path} must be {describe(kind, path)}, not {show(value)}")
        return tuple(read_value(arguments[0], item, f"{path}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise SettingsError(f"{path} must be {describe(kind, path)}, not {show(value)}")
        return {
            read_value(arguments[0], key, f"{path}: a name in it"): read_value(arguments[1], item, join(path, key))
            for key, item in value.items()
        }
    if _is_struct(kind):
        return kind(**read_fields(kind, value, path))
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise SettingsError(f"{path} must be {describe(kind)}, not {show(value)}") from None


def parse_value(kind: Any, text: str, path: str) -> Any:
    """Reads what an environment variable says: text as it is, numbers as in Python, lists and tables as JSON."""
    if get_origin(kind) in (tuple, dict):
        try:
            return read_value(kind, msgspec.json.decode(text), path)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            raise SettingsError(f"{path} must be {describe(kind)}, written as JSON, not {show(text)}") from None
    parsed: object = text
    for number in (int, float):
        if _plain(kind) is number:
            try:
                parsed = number(text)
            except ValueError:
                raise SettingsError(f"{path} must be {describe(kind)}, not {show(text)}") from None
    return read_value(kind, parsed, path)


def describe(kind: Any, path: str = "") -> str:
    """What a value of this type must be, to stand after "must be"; `path` lets the sentence quote TOML."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return str(arguments[1].description)
    if origin in (Union, UnionType):
        return describe(next(part for part in arguments if part is not NoneType))
    if origin is tuple and _is_struct(arguments[0]):
        return f"a list of tables, each written as [[{path}]]"
    if origin is tuple:
        return f"a list, each item {describe(arguments[0])}"
    if origin is dict and not _is_struct(arguments[1]):
        return f"a table, each value {describe(arguments[1])}"
    return "a table"


def suggest(name: str, known: Any) -> str:
    """The cure for a name that nobody knows."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"


def join(path: str, key: str) -> str:
    written = key if _BARE_KEY.match(key) else f'"{key}"'
    return f"{path}.{written}" if path else written


def show(value: object) -> str:
    """A wrong value, short enough for a sentence."""
    match value:
        case dict() | msgspec.Struct():
            return "a table"
        case list() | tuple():
            return "a list"
        case bool():
            return "true" if value else "false"
        case int() if abs(value) > _SHOWN_NUMBER_MAX:
            return "a number that large"
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH_MAX else f"{text[:_SHOWN_LENGTH_MAX]}…"


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _plain(kind: Any) -> Any:
    """The bare type below `| None` and annotations."""
    if get_origin(kind) in (Union, UnionType):
        return _plain(next(part for part in get_args(kind) if part is not NoneType))
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind
