"""A run of tests in a copy of the checkout, and what it says about the safeguard that was taken out of the copy."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sluicegate_worker.demo.settings import read_plain_environment
from support.source_tree import ROOT, list_files

RUN_S_MAX = 90.0
TEST_S_MAX = 30
STOP_S = 5.0
# What breaks the source instead of taking out a safeguard would make any test fail.
BROKEN = re.compile(
    r"Error compiling script|nonexistent global variable|ERROR at setup of|(?:Syntax|Name|Import|ModuleNotFound)Error\b"
)
FIND_PACKAGES = (
    "from importlib.util import find_spec as f; print(f('sluicegate').origin, f('sluicegate_worker').origin)"
)


class Run(NamedTuple):
    """`code` is pytest's exit code, or None where the whole run took too long."""

    code: int | None
    output: str


class Verdict(NamedTuple):
    """`found_out`: the tests noticed. Otherwise `words` say what happened instead."""

    found_out: bool
    words: str


class Place:
    """A directory with a copy of the checkout and room for what its tests write."""

    def __init__(self, directory: Path) -> None:
        self.tree, self._scratch = directory / "tree", directory / "scratch"
        self._scratch.mkdir(parents=True)

    def fill(self) -> None:
        for path in list_files():
            target = self.tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, target)

    @property
    def _environment(self) -> dict[str, str]:
        """In which the copy's packages come before the installed ones, here and in whatever the tests start."""
        path = os.pathsep.join(str(self.tree / folder) for folder in ("producer", "worker"))
        return read_plain_environment() | {"PYTHONPATH": path, "TMPDIR": str(self._scratch), "COLUMNS": "400"}

    async def check_imports(self) -> None:
        """Raises RuntimeError where a process of this place would test the installed packages instead of the copy."""
        _, found = await self._call(self._scratch, "-c", FIND_PACKAGES)
        if not found or not all(Path(origin).is_relative_to(self.tree) for origin in found.split()):
            raise RuntimeError(f"tests in {self.tree} would import {found.strip()}")

    async def run(self, tests: Sequence[str]) -> Run:
        options = ("-q", "-p", "no:cacheprovider", "--color=no", "--tb=short", "--full", f"--timeout={TEST_S_MAX}")
        limit_s = max(RUN_S_MAX, TEST_S_MAX * len(tests))
        return await self._call(self.tree, "-m", "pytest", *options, *tests, limit_s=limit_s)

    async def _call(self, directory: Path, *arguments: str, limit_s: float = RUN_S_MAX) -> Run:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *arguments),
            cwd=directory,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), limit_s)
        except TimeoutError:
            return Run(None, "")
        finally:
            await _end(process)
        return Run(process.returncode, output.decode(errors="replace"))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Asks pytest to end what its tests have started, then kills it with everything in its session."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.returncode is not None:
            return
        os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_S)


def judge(tests: Sequence[str], run: Run) -> Verdict:
    """Whether each of these tests failed; a time-out is a failure, an end that is not the tests' own is none."""
    if run.code is None:
        return Verdict(True, "timed out")
    if run.code not in (0, 1):
        return Verdict(False, f"ERROR: pytest ended with code {run.code}\n{run.output}")
    if broken := BROKEN.search(run.output):
        return Verdict(False, f"ERROR: it breaks the source ({broken[0]})\n{run.output}")
    green = [
        test
        for test in tests
        if not re.search(rf"^(?:FAILED|ERROR) {re.escape(test)}(?:\[| |$)", run.output, re.MULTILINE)
    ]
    if green:
        return Verdict(False, f"SURVIVES: green without it: {', '.join(green)}")
    return Verdict(True, "timed out" if "from pytest-timeout" in run.output else "")
