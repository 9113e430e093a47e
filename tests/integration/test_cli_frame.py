"""The command line as a process: which commands there are, and how each way to end looks from outside."""

import os
import signal
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

import pytest

from sluicegate_worker import cli
from sluicegate_worker.cli import COMMANDS

# Unbuffered, as in many containers, nothing would be left to flush at the end.
BUFFERED = os.environ | {"PYTHONUNBUFFERED": ""}
PLANTED = """
import click, sys, threading
from types import SimpleNamespace
from sluicegate import errors
from sluicegate_worker import cli
from sluicegate_worker.settings import SettingsError

def body():
{body}

sys.modules["sluicegate_worker.cli.status"] = SimpleNamespace(command=click.Command("status", callback=body))
sys.exit(cli.run(["status"]))
"""


def plant(body: str) -> list[str]:
    """A process whose command `status` does this."""
    return [sys.executable, "-c", PLANTED.format(body="\n".join(f"    {line}" for line in body.splitlines()))]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, env=BUFFERED | environment)


def sluicegate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "sluicegate_worker", *arguments], **environment)


def assert_refused(ended: subprocess.CompletedProcess[str], message: str, code: int = 2) -> None:
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("sluicegate: ")
    assert message in ended.stderr


def test_help_names_every_command() -> None:
    ended = sluicegate("--help")
    assert ended.returncode == 0
    assert ended.stderr == ""
    words = [line.split()[0] for line in ended.stdout.split("Commands:\n")[1].splitlines() if line[2:3] != " "]
    assert words == list(COMMANDS)


def test_every_command_has_its_module() -> None:
    missing = [name for name in COMMANDS if find_spec(f"sluicegate_worker.cli.{name.replace('-', '_')}") is None]
    assert missing == []


def test_every_module_with_a_command_is_in_the_table() -> None:
    modules = [module.name for module in iter_modules(cli.__path__)]
    commands = {name for name in modules if hasattr(import_module(f"sluicegate_worker.cli.{name}"), "command")}
    assert {name.replace("_", "-") for name in commands} <= COMMANDS.keys()


def test_every_command_explains_itself() -> None:
    for name in COMMANDS:
        ended = sluicegate(name, "--help")
        assert (ended.returncode, ended.stderr) == (0, ""), name
        assert ended.stdout.startswith(f"Usage: sluicegate {name} ")


def test_help_imports_no_command() -> None:
    code = "import sys; from sluicegate_worker.cli import run; run(['--help']); print('MODULES', *sys.modules)"
    modules = run([sys.executable, "-c", code]).stdout.split("MODULES")[1].split()
    found = {name for name in modules if name.startswith("sluicegate_worker.cli.")}
    assert found == {"sluicegate_worker.cli.naming", "sluicegate_worker.cli.output"}
    assert not {"aiohttp", "rich", "uvloop"} & set(modules)


def test_no_command_is_a_wrong_use_that_shows_the_help() -> None:
    ended = sluicegate()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("Usage: sluicegate ")


def test_version(tmp_path: Path) -> None:
    planted = tmp_path / "sluicegate-9.8.7.dist-info"
    planted.mkdir()
    (planted / "METADATA").write_text("Metadata-Version: 2.1\nName: sluicegate\nVersion: 9.8.7\n")
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    ended = sluicegate("--version", PYTHONPATH=paths)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "sluicegate 9.8.7\n", "")


def test_without_click_it_says_what_to_install() -> None:
    missing = "import sys; sys.modules.update(dict.fromkeys(('click', 'aiohttp', 'rich', 'uvloop')))"
    ended = run([sys.executable, "-c", f"{missing}; from sluicegate_worker.__main__ import main; main()"])
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == "sluicegate's commands need: pip install 'sluicegate[worker]'\n"


def test_an_unknown_command_names_the_nearest() -> None:
    assert_refused(sluicegate("dispach"), "there is no command 'dispach'; did you mean dispatch?")
    assert_refused(sluicegate("dead", "replai"), "there is no command 'replai'; did you mean replay?")
    assert_refused(sluicegate("xyzzy"), f"the commands are {', '.join(COMMANDS)}")
    assert_refused(sluicegate(""), "there is no command ''")
    assert_refused(sluicegate("a\nb\x1b[2J"), r"there is no command 'a\nb\x1b[2J'")


def test_an_unknown_option_is_one_line() -> None:
    assert_refused(sluicegate("--hlep"), "No such option '--hlep'. Did you mean '--help'? (see sluicegate --help)")
    assert_refused(sluicegate("simulate-provider", "--prot", "5"), "(see sluicegate simulate-provider --help)")
    assert_refused(sluicegate("simulate-provider", "--port", "x"), "Invalid value for '--port'")
    assert_refused(sluicegate("simulate-provider", "\x1b[2J"), r"\x1b[2J")


ENDS = [
    ("raise errors.InvalidRequest('bad\\nname')", "bad\\nname", 2),
    ("raise SettingsError('rpm must be')", "rpm must be", 2),
    ("raise errors.StoreUnavailable('no server')", "no server", 3),
    ("raise errors.UnknownRequest('no such id')", "no such id", 1),
    ("raise errors.BacklogFull('full', 1.0)", "full", 1),
    ("open('/nowhere/at-all')", "/nowhere/at-all: No such file or directory", 1),
    ("raise click.UsageError('odd')", "odd", 2),
    ("cli.complain('odd')\nreturn 1", "odd", 1),
    ("cli.complain('odd')\nclick.get_current_context().exit(3)", "odd", 3),
]


@pytest.mark.parametrize(("body", "message", "code"), ENDS)
def test_each_error_has_one_line_and_its_code(body: str, message: str, code: int) -> None:
    assert_refused(run(plant(body)), message, code)


def test_a_command_that_returns_nothing_is_done() -> None:
    ended = run(plant("click.echo('fine')"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "fine\n", "")


def test_a_defect_keeps_its_traceback() -> None:
    ended = run(plant("raise RuntimeError('defect')"))
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_an_interrupt_ends_quietly() -> None:
    command = plant("click.echo('ready')\nthreading.Event().wait(40)")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=BUFFERED) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.wait(timeout=40) == 130


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    command = plant("for _ in range(1_000_000): print('line')")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=BUFFERED) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=40) == 1


def test_a_reader_that_was_never_there_is_met_at_the_end() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        ended = subprocess.run(
            plant("print('short')"), stdout=stdout, stderr=subprocess.PIPE, timeout=50, check=False, env=BUFFERED
        )
    assert (ended.returncode, ended.stderr) == (1, b"")
