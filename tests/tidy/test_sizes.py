"""A file has at most 300 lines, a function at most 50."""

import ast
from pathlib import Path

from support.source_tree import find_violations

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50


def find_long_file(_: Path, text: str) -> list[str]:
    lines = len(text.splitlines())
    return [f"{lines} lines"] if lines > FILE_LINES_MAX else []


def find_long_functions(_: Path, text: str) -> list[str]:
    return [
        f"{node.name} has {lines} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def test_files_are_short() -> None:
    assert find_violations(find_long_file, suffixes=(".py", ".lua")) == []


def test_functions_are_short() -> None:
    assert find_violations(find_long_functions) == []


def test_a_long_file_is_found() -> None:
    assert find_long_file(Path("long.py"), "x = 1\n" * 301) == ["301 lines"]
    assert find_long_file(Path("short.py"), "x = 1\n" * 300) == []


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n"
    assert find_long_functions(Path("long.py"), "async def f():\n" + body * 50) == ["f has 51 lines"]
    assert find_long_functions(Path("short.py"), "class A:\n    def f(self):\n" + "    " + body * 1) == []
