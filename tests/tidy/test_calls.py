"""What may not be imported or called: folders as packages, the environment outside settings, sleep in tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

from support.source_tree import find_violations

SETTINGS_FILES = {"settings.py", "settings_file.py", "settings_secrets.py"}
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.putenv"}
SLEEPS = {"time.sleep", "asyncio.sleep"}
TELLERS = {Path("worker/sluicegate_worker/observe") / name for name in ("events.py", "logs.py")}
MAY_SLEEP = Path("tests/support/waiting.py")


def find_folder_imports(_: Path, text: str) -> list[str]:
    """`import producer.sluicegate` works in the checkout, and makes a second copy of every class."""
    return [
        f"line {line}: import {name.removeprefix('producer.').removeprefix('worker.')} instead of {name}"
        for line, name in _find_names(text)
        if name.split(".", 1)[0] in {"producer", "worker"}
    ]


def find_environment_reads(path: Path, text: str) -> list[str]:
    if path.name in SETTINGS_FILES:
        return []
    return [f"line {line}: {name} belongs into settings.py" for line, name in _find_names(text) if name in ENVIRONMENT]


def find_loggers(path: Path, text: str) -> list[str]:
    """What happens is told once, as an event; how it is logged and counted is for those who subscribe to say."""
    if path in TELLERS:
        return []
    names = {name.split(".", 1)[0]: line for line, name in _find_names(text)}
    return [f"line {names[name]}: tell an event of observe/events.py" for name in ("logging",) if name in names]


def find_sleeps(path: Path, text: str) -> list[str]:
    if path == MAY_SLEEP:
        return []
    return [f"line {line}: wait_until instead of {name}" for line, name in _find_names(text) if name in SLEEPS]


def _find_names(text: str) -> Iterator[tuple[int, str]]:
    """Every dotted name that is imported, or used as `module.name`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in {"os", "time", "asyncio"}
        ):
            yield node.lineno, f"{node.value.id}.{node.attr}"


def test_packages_are_imported_by_their_own_names() -> None:
    assert find_violations(find_folder_imports) == []


def test_only_settings_read_the_environment() -> None:
    assert find_violations(find_environment_reads, under=("producer", "worker")) == []


def test_dispatchers_log_by_events_alone() -> None:
    assert find_violations(find_loggers, under=("worker",)) == []


def test_a_logger_is_found() -> None:
    assert find_loggers(Path("worker/sluicegate_worker/attempt.py"), "import logging\n") != []


def test_nothing_sleeps() -> None:
    assert find_violations(find_sleeps, under=("tests",)) == []


def test_a_folder_import_is_found() -> None:
    path = Path("tests/a.py")
    assert find_folder_imports(path, "from producer.sluicegate import wire\n")
    assert find_folder_imports(path, "import worker.sluicegate_worker\n")
    assert (
        find_folder_imports(path, "from sluicegate import producer\nfrom sluicegate.producer import AsyncProducer\n")
        == []
    )


def test_an_environment_read_is_found() -> None:
    for planted in ("import os\nx = os.environ['A']\n", "import os\nx = os.getenv('A')\n", "from os import environ\n"):
        assert find_environment_reads(Path("producer/sluicegate/producer.py"), planted)
        assert find_environment_reads(Path("producer/sluicegate/settings.py"), planted) == []


def test_a_sleep_is_found() -> None:
    for planted in (
        "import time\ntime.sleep(1)\n",
        "import asyncio\nawait asyncio.sleep(1)\n",
        "from time import sleep\n",
    ):
        assert find_sleeps(Path("tests/unit/test_a.py"), planted)
        assert find_sleeps(MAY_SLEEP, planted) == []
