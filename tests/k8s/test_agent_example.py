"""The example agent is a program that runs: it asks through the queue until it is told to stop."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE

from sluicegate_worker import Dispatcher
from sluicegate_worker.demo.settings import read_plain_environment
from support.manifests import K8S, of_kind, pod_of, render
from support.source_tree import ROOT
from support.upstream import Upstream
from support.waiting import wait_until

PROGRAM = K8S / "components" / "agent-example" / "agent.py"


async def test_it_asks_until_it_is_told_to_stop(redis_url: str, dispatcher: Dispatcher, upstream: Upstream) -> None:
    [agent] = [one for one in of_kind(render("dev"), "Deployment") if one["metadata"]["name"] == "agent"]
    asked = {variable["name"]: variable.get("value", "agent-1") for variable in pod_of(agent)["containers"][0]["env"]}
    given = asked | {"SLUICEGATE_REDIS_URL": redis_url, "PYTHONPATH": str(ROOT / "producer")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, env=read_plain_environment() | given, stdout=PIPE, stderr=PIPE
    )
    try:
        await wait_until(lambda: len(upstream.arrivals) >= 2, "it has asked twice")
        process.send_signal(signal.SIGTERM)
        out, errors = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors) == (0, b"")
    assert out.count(b"200 after") >= 2
