"""The repository as text, for tests about the source itself."""

import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A rule takes a path relative to the root and the text, and returns one sentence for each violation.
Rule = Callable[[Path, str], list[str]]


@cache
def list_files() -> tuple[Path, ...]:
    """Every file that is tracked or about to be, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(path for name in sorted(filter(None, listed.split("\0"))) if (ROOT / (path := Path(name))).is_file())


def find_violations(rule: Rule, *, under: tuple[str, ...] = ("",), suffixes: tuple[str, ...] = (".py",)) -> list[str]:
    """What the rule finds in files with one of these suffixes under one of these folders; "" is every one."""
    return [
        f"{path}: {violation}"
        for path in _select(under, suffixes)
        for violation in rule(path, (ROOT / path).read_text(encoding="utf-8", errors="replace"))
    ]


def _select(under: tuple[str, ...], suffixes: tuple[str, ...]) -> Iterator[Path]:
    for path in list_files():
        if any(path.is_relative_to(folder) for folder in under) and ("" in suffixes or path.suffix in suffixes):
            yield path
