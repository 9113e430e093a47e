"""Prometheus' own checker: the one on PATH, or Debian's, unpacked beside the tests' environments."""

import fcntl
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from support.environments import TARGET

UNAVAILABLE = "needs promtool, or apt-get and a network to fetch it"

_failed: list[str] = []


def cannot_be_had() -> bool:
    return bool(_failed)


@cache
def find_promtool() -> Path:
    """Skips where it cannot be had."""
    found = shutil.which("promtool")
    if found:
        return Path(found)
    if _failed:  # the network is asked once
        pytest.skip(UNAVAILABLE)
    place = TARGET / "promtool"
    place.mkdir(parents=True, exist_ok=True)
    with (TARGET / "promtool.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "usr/bin/promtool").exists():
            _fetch(place)
    return place / "usr/bin/promtool"


def _fetch(place: Path) -> None:
    """Unpacked and not installed: the machine stays as it is."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        _failed.append("no apt-get")
        pytest.skip(UNAVAILABLE)
    if os.geteuid() == 0:
        _run(place, "apt-get", "update", "-qq")
    if _run(place, "apt-get", "download", "-qq", "prometheus"):
        _failed.append("no package")
        pytest.skip(UNAVAILABLE)
    [package] = place.glob("prometheus_*.deb")
    assert _run(place, "dpkg", "-x", str(package), str(place)) == 0
    package.unlink()


def _run(place: Path, *command: str) -> int:
    return subprocess.run(command, cwd=place, check=False, capture_output=True).returncode


def run_promtool(*arguments: str | Path, stdin: str = "") -> str:
    """What it says; fails the test where it finds something."""
    ended = subprocess.run([find_promtool(), *arguments], input=stdin, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr
