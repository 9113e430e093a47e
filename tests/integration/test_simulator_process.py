"""`sluicegate simulate-provider` as a process: how it announces itself, is reached, and ends."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sluicegate_worker.demo.children import spawn, stop
from support.waiting import wait_until_sync

COMMAND = (sys.executable, "-m", "sluicegate_worker", "simulate-provider")


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = spawn([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        stop(process)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode()


def post_chat(url: str) -> Any:
    body = b'{"model":"m","messages":[{"role":"user","content":"a b"}]}'
    with urllib.request.urlopen(urllib.request.Request(url + "/v1/chat/completions", body), timeout=20) as answer:  # noqa: S310 - our own server
        return json.load(answer)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_itself_serves_and_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    port_file, log = tmp_path / "port", tmp_path / "log"
    with running("--latency-median-s", "0", "--port-file", str(port_file), "--log", str(log)) as process:
        url = first_line(process).strip()
        assert url == f"http://127.0.0.1:{int(port_file.read_text())}"
        assert post_chat(url)["usage"]["prompt_tokens"] == 2
        process.send_signal(ending)
        assert process.communicate() == (b"", b"")
        assert process.returncode == 0
    assert [json.loads(line)["status"] for line in log.read_text().splitlines()] == [200]
    assert list(tmp_path.iterdir()) == [log]


def test_a_reader_of_the_port_file_needs_no_output(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    with running("--latency-median-s", "0", "--port-file", str(port_file)):
        wait_until_sync(port_file.exists, "the port file is there")
        assert post_chat(f"http://127.0.0.1:{int(port_file.read_text())}")["object"] == "chat.completion"


def test_json_is_one_document() -> None:
    with running("--json", "--rpm", "600", "--style", "second", "--fault", "slow=2", "--fault", "hang=0.1") as process:
        document = json.loads(first_line(process))
        with urllib.request.urlopen(document["url"] + "/_sim", timeout=20) as answer:  # noqa: S310 - our own server
            state = json.load(answer)
        assert set(document) == {"schema", "url", "port", "pid"}
        assert (document["schema"], document["url"]) == (1, f"http://127.0.0.1:{document['port']}")
    assert (state["rpm"], state["style"]) == (600, "second")
    assert (state["faults"]["hang"], state["faults"]["slow"], state["faults"]["5xx"]) == (0.1, 2.0, 0.0)


def test_every_option_is_shown() -> None:
    limits = {"rpm": 1, "tpm": 2, "itpm": 3, "otpm": 4, "rpd": 5, "tpd": 6}
    options = [text for name, limit in limits.items() for text in (f"--{name}", str(limit))]
    with (
        running("--profile", "azure", "--sharer", "0.5", "--refusals-count", *options) as process,
        urllib.request.urlopen(first_line(process).strip() + "/_sim", timeout=20) as answer,  # noqa: S310 - our own server
    ):
        state = json.load(answer)
    assert {name: state[name] for name in limits} == limits
    assert (state["profile"], state["sharer"], state["refusals_count"]) == ("azure", 0.5, True)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--rpm", "0"], "rpm must be between"),
        (["--rpm", "many"], "--rpm"),
        (
            ["--style", "sliding"],
            "style must be bucket, second, ten-seconds, sliding-minute or fixed-minute, not 'sliding'",
        ),
        (["--tpm", "0"], "tpm must be between"),
        (["--profile", "groq"], "profile must be openai, azure,"),
        (["--profile", "gemini"], "gemini cannot be served over HTTP"),
        (["--sharer", "1"], "sharer must be at least 0 and less than 1"),
        (["--fault", "flood"], "there is no fault 'flood'; there are 5xx, hang, slow,"),
        (["--fault", "revoked=0.5"], "fault revoked must be 0 or 1"),
        (["--fail-rate", "nan"], "fail_rate must be between"),
        (["--port", "70000"], "--port"),
        (["--host", "nowhere.invalid"], "cannot listen on 'nowhere.invalid'"),
        (["--log", "missing/log"], "give another --log"),
        (["--port-file", "missing/port"], "give another --port-file"),
    ],
)
def test_bad_options_end_with_one_sentence(tmp_path: Path, options: list[str], named: str) -> None:
    ended = subprocess.run([*COMMAND, *options], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("sluicegate: ")
    assert ended.stderr.count("\n") == 1
    assert named in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_log_that_fills_its_disk_ends_it_loudly() -> None:
    with running("--latency-median-s", "0", "--log", "/dev/full") as process:
        post_chat(first_line(process).strip())
        _, complaint = process.communicate(timeout=50)
        assert process.returncode == 1
        assert complaint == b"sluicegate: the log can no longer be written: No space left on device; stopped\n"
