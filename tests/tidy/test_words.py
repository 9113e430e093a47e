"""A module says its job in its first line, and no file is named after nothing in particular."""

import ast
from pathlib import Path

from support.source_tree import find_violations

VAGUE = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


def find_missing_docstring(_: Path, text: str) -> list[str]:
    docstring = ast.get_docstring(ast.parse(text), clean=False)
    first_line = (docstring or "").split("\n", 1)[0].strip()
    return [] if first_line else ["its first line does not say what it is for"]


def find_vague_name(path: Path, _: str) -> list[str]:
    return [f"'{part}' names no job" for part in (*path.parts[:-1], path.stem) if part.lower() in VAGUE]


def test_every_module_says_its_job() -> None:
    assert find_violations(find_missing_docstring) == []


def test_no_file_has_a_vague_name() -> None:
    assert find_violations(find_vague_name, suffixes=(".py", ".lua", ".md", ".toml")) == []


def test_a_missing_docstring_is_found() -> None:
    assert find_missing_docstring(Path("a.py"), "# a comment\nx = 1\n")
    assert find_missing_docstring(Path("a.py"), '"""\nStarts too late.\n"""\n')
    assert find_missing_docstring(Path("a.py"), '"""What it is for."""\n') == []


def test_a_vague_name_is_found() -> None:
    assert find_vague_name(Path("worker/utils.py"), "") == ["'utils' names no job"]
    assert find_vague_name(Path("worker/common/keys.py"), "") == ["'common' names no job"]
    assert find_vague_name(Path("worker/keys.py"), "") == []
