"""The paths that the READMEs name exist."""

import re
from collections.abc import Collection
from pathlib import Path

from support.source_tree import ROOT, list_files

READMES = (Path("README.md"), Path("worker/README.md"))
ROOTED = re.compile(r"(?<![\w./:@-])(?:producer|worker|tests|scripts|k8s|\.ci)/(?:[\w.-]+/)*[\w.-]*\w")
LINKED = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
SOURCE_FILE = re.compile(r"(?<![\w./*-])[\w./]+\.(?:py|lua)\b")


def find_dead_paths(readme: Path, text: str, files: Collection[Path]) -> list[str]:
    known = {place.as_posix() for file in files for place in (file, *file.parents)}
    linked = {(readme.parent / link).as_posix().rstrip("/") for link in LINKED.findall(text)}
    dead = (set(ROOTED.findall(text)) | linked) - known
    if readme.parent != Path():  # the file map of the architecture page also names files by the end of their path
        ends = {Path(*file.parts[start:]).as_posix() for file in files for start in range(len(file.parts))}
        dead |= set(SOURCE_FILE.findall(text)) - ends
    return sorted(dead)


def test_paths_exist() -> None:
    for readme in READMES:
        assert find_dead_paths(readme, (ROOT / readme).read_text(encoding="utf-8"), list_files()) == [], readme


def test_a_dead_path_is_found() -> None:
    files = [Path("worker/README.md"), Path("worker/sluicegate_worker/loops/leaser.py"), Path("scripts/demo")]
    alive = (
        "`scripts/demo`, [how](worker/README.md), [site](https://example.org), worker/sluicegate_worker/loops, agent.py"
    )
    assert find_dead_paths(Path("README.md"), alive, files) == []
    assert find_dead_paths(Path("README.md"), "run `scripts/gone`, see [it](docs/it.md)", files) == [
        "docs/it.md",
        "scripts/gone",
    ]
    page = Path("worker/README.md")
    assert find_dead_paths(page, "loops/leaser.py, `leaser.py`, [here](sluicegate_worker/loops)", files) == []
    assert find_dead_paths(page, "loops/gone.py and clock.lua", files) == ["clock.lua", "loops/gone.py"]


NAMED_TEST = re.compile(r"`((?:\w+/)+test_\w+\.py)::(test_\w+)`")


def test_the_tests_that_a_document_names_are_there() -> None:
    named = [
        pair for file in list_files() if file.suffix == ".md" for pair in NAMED_TEST.findall((ROOT / file).read_text())
    ]
    assert len(named) > 15
    missing = [f"{file}::{test}" for file, test in named if not has_test(ROOT / "tests" / file, test)]
    assert missing == []


def has_test(file: Path, test: str) -> bool:
    return file.exists() and re.search(rf"def {test}\(", file.read_text()) is not None
