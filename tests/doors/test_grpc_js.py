"""The scaler asked by another implementation of gRPC, with a contract that was not made from our descriptors."""

import asyncio
import json
import shutil
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from sluicegate import AsyncProducer
from support.environments import DOORS, prepare_node_modules
from support.scaling import DISPATCHERS, ask, start_scaler
from support.served_pool import PATH, POOL, apply_settings, make_settings
from support.source_tree import ROOT

PROTO = ROOT / "tests" / "support" / "scaler_contract.proto"


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node.js with npm")
@pytest.mark.timeout(180)
async def test_another_client_understands_every_answer(redis_url: str, tmp_path: Path) -> None:
    modules = prepare_node_modules("grpc-js")
    await apply_settings(make_settings(redis_url, rpm=600))
    with start_scaler(tmp_path, redis_url) as scaler:
        async with ask(scaler.address) as keda, AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
            await keda.comes_to("SERVING")
            program = (
                DOORS / "programs" / "scaler_client.mjs",
                modules,
                PROTO,
                scaler.address,
                json.dumps(DISPATCHERS),
            )
            client = await asyncio.create_subprocess_exec("node", *program, stdout=PIPE, stderr=PIPE)
            try:
                assert client.stderr is not None
                assert await client.stderr.readline() == b"listening\n"
                ticket = await producer.submit(PATH, {})
                out, errors = await asyncio.wait_for(client.communicate(), 20)
            finally:
                if client.returncode is None:
                    client.kill()
                    await client.wait()
            await ticket.cancel()
    assert (client.returncode, errors) == (0, b"")
    name = "sluicegate-chat-dispatchers"
    assert json.loads(out) == {
        "spec": {"metricSpecs": [{"metricName": name, "targetSize": 1, "targetSizeFloat": 1}]},
        "metrics": {"metricValues": [{"metricName": name, "metricValue": 0, "metricValueFloat": 0}]},
        "unknown": "NOT_FOUND",
        "active": {"result": False},
        "pushed": [False, True],
    }
