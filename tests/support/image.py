"""The image, really built and run: by buildah without a daemon, on a base of Debian's own packages.

Its root and the base are kept beside the tests' environments. A run shares this machine's network and has no namespace
of processes, so that a test may signal what runs in it, and the container's own root.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.environments import TARGET
from support.source_tree import ROOT

UNAVAILABLE = "needs root, and apt-get with a network for buildah and mmdebstrap"
UID = 10_001
_TOOLS = ("buildah", "mmdebstrap")
_PLACE = TARGET / "image"
_BASE, _IMAGE = "localhost/sluicegate-base:test", "localhost/sluicegate:test"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

_failed: list[str] = []


def cannot_be_built() -> bool:
    return bool(_failed)


@cache
def build_image() -> str:
    """The image's name. Skips where the tools cannot be had; installs them as a user would, by apt-get."""
    _PLACE.mkdir(parents=True, exist_ok=True)
    with (TARGET / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install_tools()
        if _buildah("images", "-q", _BASE, check=False).strip() == "":
            _make_base()
        context = ("-f", ROOT / "worker" / "Dockerfile", "-t", _IMAGE, ROOT)
        shared = ("--isolation", "chroot", "--pull-never", "--network", "host", "--build-arg", f"BASE_IMAGE={_BASE}")
        _buildah("build", *shared, *_pip_of_this_machine(), *context)
    return _IMAGE


def inspect_image() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_buildah("inspect", "--type", "image", build_image()))["OCIv1"]["config"]
    return found


class Container:
    """A copy of the image's root that programs run in."""

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, root

    def command(self, *words: str, **environment: str) -> list[str | Path]:
        variables = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        return [*_base_command(), "run", "--isolation", "chroot", *variables, self.name, "--", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), check=False, capture_output=True, text=True)

    def list_files(self) -> set[str]:
        """All but what is there for programs to write to."""
        found = (path.relative_to(self.root) for path in self.root.rglob("*"))
        files = {str(path) for path in found if path.parts[0] not in ("tmp", "dev", "proc", "sys", "run")}
        return files - {"etc/hosts", "etc/resolv.conf"}  # which buildah brings


@contextmanager
def open_container() -> Iterator[Container]:
    name = _buildah("from", "--pull-never", build_image()).strip()
    try:
        yield Container(name, Path(_buildah("mount", name).strip()))
    finally:
        _buildah("rm", name)


def find_programs(buildah: int) -> list[int]:
    """What runs in the container that this process has started; not what brought it there, which is its parent."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, line = [], [buildah]
    for parent in line:  # which grows
        line += [pid for pid, its in parents.items() if its == parent]
    for pid in set(line) - set(parents.values()):
        with contextlib.suppress(OSError):
            found += [pid] if Path(f"/proc/{pid}").stat().st_uid == UID else []
    return found


def _install_tools() -> None:
    if all(shutil.which(tool) for tool in _TOOLS):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        _failed.append("not root, or no apt-get")
        pytest.skip(UNAVAILABLE)
    for command in (
        ("apt-get", "update", "-qq"),
        ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *_TOOLS),
    ):
        if subprocess.run(command, check=False, capture_output=True).returncode:
            _failed.append("no package")
            pytest.skip(UNAVAILABLE)


def _make_base() -> None:
    """Debian's own Python, as small as it goes."""
    tar = _PLACE / "base.tar"
    wanted = "--include=python3,python3-venv,ca-certificates"
    _run("mmdebstrap", "--variant=minbase", wanted, "bookworm", tar)
    container = _buildah("from", "scratch").strip()
    _buildah("add", "-q", container, tar, "/")
    _buildah("commit", "-q", "--rm", container, _BASE)
    tar.unlink()


def _pip_of_this_machine() -> list[str]:
    """Where packages come from is a setting of the machine that builds, and no part of the image."""
    listed = _run(sys.executable, "-m", "pip", "config", "list")
    named = [line.split(".", 1)[1].replace("'", "") for line in listed.splitlines() if "." in line]
    settings = [
        line for line in named if re.match(r"https?:|\d+$", line.split("=", 1)[1])
    ]  # addresses and times; no files
    file = _PLACE / "pip.conf"
    file.write_text("\n".join(["[global]", f"cert = {_CERTIFICATES}", *settings]) + "\n")
    return ["--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro", "--volume", f"{file}:/etc/pip.conf:ro"]


def _base_command() -> list[str | Path]:
    return ["buildah", "--storage-driver", "vfs", "--root", _PLACE / "root", "--runroot", _PLACE / "run"]


def _buildah(*arguments: str | Path, check: bool = True) -> str:
    return _run(*_base_command(), *arguments, check=check)


def _run(*command: str | Path, check: bool = True) -> str:
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0 or not check, ended.stdout[-3_000:] + ended.stderr[-3_000:]
    return ended.stdout
