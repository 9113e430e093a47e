"""Environments below .venv-doors for software that the lock must not have, and programs that run there."""

import asyncio
import fcntl
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sluicegate_worker.demo.settings import read_plain_environment
from support.source_tree import ROOT

TARGET = ROOT / ".venv-doors"
DOORS = ROOT / "tests" / "doors"
ELSEWHERE = {"litellm": ROOT / "bench" / "requirements.txt"}  # the benchmark has pinned its proxy already
NO_NETWORK = "needs a network for packages"
PROGRAM_TIMEOUT_S = 60.0
_UNREACHABLE = re.compile(
    r"connection broken by|Failed to establish a new connection|name resolution|ENOTFOUND|ECONNREFUSED|EAI_AGAIN",
    re.IGNORECASE,
)

_found_no_network: list[str] = []


def is_without_network() -> bool:
    """Whether an installation failed here because nothing could be reached."""
    return bool(_found_no_network)


def prepare_environment(name: str) -> Path:
    """The environment's `bin`, made unless its stamp says that it is there. Skips where no package can be reached."""
    wanted, place = ELSEWHERE.get(name, DOORS / "environments" / f"{name}.txt"), TARGET / name
    TARGET.mkdir(exist_ok=True)
    with (TARGET / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side, and two may want the same
        if not _is_made(wanted, place):
            _make(wanted, place)
    return place / "bin"


def _is_made(wanted: Path, place: Path) -> bool:
    stamp = place / ".stamp"
    return stamp.exists() and stamp.read_text() == wanted.read_text()


def _make(wanted: Path, place: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True, capture_output=True)
    pip = (place / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-r", wanted)
    _finish(subprocess.run(pip, check=False, capture_output=True, text=True), wanted, place)


def _finish(ended: subprocess.CompletedProcess[str], wanted: Path, place: Path) -> None:
    """Skips where nothing could be reached."""
    if ended.returncode and _UNREACHABLE.search(ended.stdout + ended.stderr):
        _found_no_network.append(place.name)
        pytest.skip(NO_NETWORK)
    assert ended.returncode == 0, ended.stderr
    (place / ".stamp").write_text(wanted.read_text())


def prepare_node_modules(name: str) -> Path:
    """The folder above `node_modules`, installed from its lock unless its stamp says that it is there."""
    wanted, place = DOORS / "environments" / name / "package-lock.json", TARGET / name
    place.mkdir(parents=True, exist_ok=True)
    with (TARGET / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_made(wanted, place):
            for file in wanted.parent.iterdir():
                (place / file.name).write_text(file.read_text())
            npm = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(place))
            _finish(subprocess.run(npm, check=False, capture_output=True, text=True), wanted, place)
    return place


async def run_program(environment: str, *arguments: str) -> Any:
    """What the program `tests/doors/programs/with_<environment>.py` prints, as JSON."""
    python = await asyncio.to_thread(prepare_environment, environment) / "python"
    process = await asyncio.create_subprocess_exec(
        python,
        DOORS / "programs" / f"with_{environment.replace('-', '_')}.py",
        *arguments,
        env=read_plain_environment() | {"PYTHONPATH": str(ROOT / "producer")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PROGRAM_TIMEOUT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode(errors="replace")
    return json.loads(out)
