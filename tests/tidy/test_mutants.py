"""Mutants do not rot: each fits the source that it changes, and the tests that it names exist."""

import ast
from pathlib import Path

from support.mutants import FOLDER, Mutant, mutate, read_mutant
from support.source_tree import ROOT, find_violations

SOUND = """\
safeguard = "A thing happens once."
file = "tests/support/mutants.py"
tests = ["tests/tidy/test_mutants.py::test_mutants_fit[once]"]
[[replace]]
old = "def mutate("
new = "def leave("
"""


def find_misfits(path: Path, text: str) -> list[str]:
    if not path.is_relative_to(FOLDER):
        return []
    try:
        mutant = read_mutant(text)
        source = ROOT / mutant.file
        if not source.is_file():
            return [f"there is no {mutant.file}"]
        mutate(mutant, source.read_text("utf-8"))
    except ValueError as error:
        return [str(error)]
    return find_missing_tests(mutant)


def find_missing_tests(mutant: Mutant) -> list[str]:
    missing = []
    for test in mutant.tests:
        file, _, function = test.partition("::")
        source = ROOT / file
        tree = ast.parse(source.read_text("utf-8")) if source.is_file() else ast.Module([], [])
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        if function.partition("[")[0] not in names:
            missing.append(f"there is no test {test}")
    return missing


def test_mutants_fit() -> None:
    assert find_violations(find_misfits, suffixes=(".toml",)) == []


def test_a_misfit_is_found() -> None:
    path = FOLDER / "planted.toml"
    assert find_misfits(path, SOUND) == []
    for before, after, sentence in (
        ('safeguard = "A thing happens once."', "", "it is no mutant: Object missing required field `safeguard`"),
        ("once.", "once", "it needs a safeguard in one sentence, something to replace and a test that notices"),
        ("tests/support/mutants.py", "gone.py", "there is no gone.py"),
        ("def mutate(", "def gone(", "in tests/support/mutants.py this is there 0 times: def gone("),
        ("def mutate(", "mutant", "in tests/support/mutants.py this is there "),
        ("def leave(", "def mutate(", "in tests/support/mutants.py this stays as it is: def mutate("),
        ("test_mutants_fit[once]", "test_gone[once]", "there is no test tests/tidy/test_mutants.py::test_gone[once]"),
        ("test_mutants.py::", "test_gone.py::", "there is no test tests/tidy/test_gone.py::test_mutants_fit[once]"),
        ("[[replace]]", "[replace", "it is no mutant: "),
        ("old =", "older =", "it is no mutant: "),
    ):
        [found] = find_misfits(path, SOUND.replace(before, after))
        assert found.startswith(sentence)
    assert find_misfits(Path("pyproject.toml"), "") == []
