"""The image built and run for real: who it is, what it writes, probes, a request end to end, SIGTERM amid calls."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from sluicegate import AsyncProducer
from sluicegate_worker.demo.children import spawn, stop
from support.image import Container, find_programs, inspect_image, open_container
from support.pools import chat
from support.processes import Process, write_settings
from support.served_pool import PATH, POOL
from support.upstream import Upstream, answer, once
from support.waiting import wait_until, wait_until_sync

CONFIG = str(Path("/tmp") / "sluicegate.toml")  # noqa: S108  # the only place that is written to

pytestmark = [pytest.mark.full, pytest.mark.timeout(900), pytest.mark.xdist_group("image")]


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    with open_container() as opened:
        yield opened


class Running:
    """A command in the container."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def signal(self, number: int) -> None:
        """The program itself, as a kubelet does: buildah does not pass signals on."""
        [pid] = find_programs(self.process.pid)
        os.kill(pid, number)


@contextlib.contextmanager
def start(container: Container, directory: Path, *words: str, **environment: str) -> Iterator[Running]:
    said = directory / f"{words[0]}-{len(list(directory.iterdir()))}.err"
    with said.open("wb") as stderr:
        command = [str(word) for word in container.command("sluicegate", *words, **environment)]
        process = spawn(command, stdout=subprocess.DEVNULL, stderr=stderr)
    running = Running(Process(process, said))
    try:
        yield running
    finally:
        for pid in find_programs(process.pid):
            os.kill(pid, signal.SIGKILL)
        stop(process)


def test_it_says_who_it_is_and_how_to_stop_it() -> None:
    config = inspect_image()
    assert (config["User"], config["Entrypoint"], config["StopSignal"]) == ("10001:10001", ["sluicegate"], "SIGTERM")
    variables = {variable.split("=")[0] for variable in config["Env"]}
    assert variables == {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}


def test_it_is_nobody_and_can_write_nowhere(container: Container) -> None:
    assert container.run("id", "-u").stdout.strip() == "10001"
    for place in ("/", "/opt/sluicegate", "/usr", "/etc"):
        assert container.run("touch", f"{place}/x").returncode != 0, place
    assert container.run("sluicegate", "--version").stdout.startswith("sluicegate ")


def test_what_only_builds_and_tests_is_not_in_it(container: Container) -> None:
    names = {path.name for path in container.root.rglob("site-packages/*")}
    assert {"sluicegate", "sluicegate_worker", "grpc", "opentelemetry"} <= names
    assert not {"pytest", "mypy", "hatchling", "openai", "kubernetes_validate"} & names
    assert not list(container.root.glob("src"))
    assert not list(container.root.glob("build"))


async def test_it_serves_probes_and_drains(
    container: Container, redis_url: str, upstream: Upstream, http: ClientSession, tmp_path: Path
) -> None:
    gate = asyncio.Event()
    upstream.next_up.extend([once(gate, answer())] * 10)
    (container.root / CONFIG.lstrip("/")).write_text(write_settings(redis_url, upstream.base_url, "rpm = 6000"))
    before = container.list_files()
    arguments = ("dispatch", "--concurrency=200", "--health-port=0", "--log-format=json")
    with start(container, tmp_path, *arguments, SLUICEGATE_CONFIG=CONFIG) as running:
        said = running.process
        wait_until_sync(lambda: "DispatcherStarted" in said.words or said.code is not None, "it serves", 30)
        [port] = re.findall(r'"port":(\d+)', said.words)
        for path in ("/livez", "/readyz", "/metrics"):
            async with http.get(f"http://127.0.0.1:{port}{path}") as response:
                assert response.status == 200
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
            calls = [asyncio.create_task(producer.request(PATH, chat(str(n)))) for n in range(10)]
            await wait_until(lambda: len(upstream.arrivals) == 10, "ten calls are in flight")
            running.signal(signal.SIGTERM)
            await wait_until(lambda: "DispatcherDraining" in said.words, "it drains")
            gate.set()
            replies = await asyncio.gather(*calls)
            assert await said.end() == 0, said.words
    assert {(reply.status, reply.attempts) for reply in replies} == {(200, 1)}
    assert len(upstream.arrivals) == 10
    assert container.list_files() == before  # nothing but what was read only


async def test_the_scaler_is_the_same_image(container: Container, redis_url: str, tmp_path: Path) -> None:
    with start(container, tmp_path, "scaler", "--port=0", "--http-port=0", SLUICEGATE_REDIS_URL=redis_url) as running:
        wait_until_sync(lambda: "gRPC at port" in running.process.words, "it listens", 30)
        running.signal(signal.SIGTERM)
        assert await running.process.end() == 0


def test_the_applying_job_runs(container: Container, redis_url: str, upstream: Upstream) -> None:
    (container.root / CONFIG.lstrip("/")).write_text(write_settings(redis_url, upstream.base_url, "rpm = 60"))
    command = container.command("sluicegate", "pool", "apply", SLUICEGATE_CONFIG=CONFIG)
    for _ in range(2):  # the second finds it done
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0
