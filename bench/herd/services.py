"""What stands between agents and provider in each column: started on the run's stage before its agents."""

import asyncio
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.herd.stage import Stage, StageError, is_answering
from sluicegate.store import Store
from sluicegate_worker.demo.embedded import HOST, find_free_port
from sluicegate_worker.demo.load import count_dispatchers
from sluicegate_worker.demo.settings import POOL, write_settings

ROOT = Path(__file__).resolve().parents[2]
OTHERS_VENV = ROOT / ".venv-bench" / "bin"
DISPATCHERS = 4
PROCESSES = 4  # of agents
LITELLM_SETTINGS = """\
model_list:
  - model_name: sim-chat
    litellm_params:
      model: openai/sim-chat
      api_base: {provider}/v1
      api_key: none
      rpm: {rpm}
      tpm: 100000000
general_settings:
  master_key: {key}
router_settings:
  routing_strategy: simple-shuffle
  optional_pre_call_checks: [enforce_model_rate_limits]
  redis_host: {host}
  redis_port: {port}
"""
LITELLM_QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}


class Place(NamedTuple):
    """Where a column's agents find what they use."""

    base_url: str
    redis_url: str | None = None
    api_key: str = "none"  # the simulated provider takes any


def offer_nothing(stage: Stage) -> Place:
    return Place(f"{stage.provider_url}/v1")


def offer_redis(stage: Stage) -> Place:
    return Place(f"{stage.provider_url}/v1", stage.start_server().url)


def offer_sluicegate(stage: Stage) -> Place:
    server = stage.start_server()
    settings = stage.directory / "sluicegate.toml"
    settings.write_text(write_settings(server.url, f"{stage.provider_url}/v1", stage.rpm), encoding="utf-8")
    for number in range(DISPATCHERS):
        stage.start(f"dispatcher-{number}", sys.executable, "-m", "sluicegate_worker", "dispatch", "--config", settings)
    stage.wait_until(lambda: asyncio.run(_count_dispatchers(server.url)) == DISPATCHERS, "all dispatchers are ready")
    return Place(f"{stage.provider_url}/v1", server.url)


def offer_litellm(stage: Stage) -> Place:
    """One proxy, with the limit enforced before each call and counted in Redis, as its documentation has it."""
    proxy = OTHERS_VENV / "litellm"
    if not proxy.exists():
        raise StageError("LiteLLM is not installed: run scripts/bench, which installs it")
    server, port, key = stage.start_server(), find_free_port(), f"sk-{secrets.token_hex(16)}"
    settings = stage.directory / "litellm.yaml"
    settings.write_text(
        LITELLM_SETTINGS.format(provider=stage.provider_url, rpm=stage.rpm, host=HOST, port=server.port, key=key),
        encoding="utf-8",
    )
    stage.start(
        "litellm", proxy, "--config", settings, "--host", HOST, "--port", str(port), environment=LITELLM_QUIET
    )  # fmt: skip
    stage.wait_until(lambda: is_answering(f"http://{HOST}:{port}/health/liveliness"), "LiteLLM's proxy answers")
    return Place(f"http://{HOST}:{port}/v1", api_key=key)


async def _count_dispatchers(redis_url: str) -> int | None:
    async with Store(redis_url) as store:
        return await count_dispatchers(store, POOL)


class Column(NamedTuple):
    """A column of the table; its agents are in the file of that name in `columns/`."""

    name: str
    title: str
    offer: Callable[[Stage], Place]
    python: Path = Path(sys.executable)
    processes: int = PROCESSES


COLUMNS = {
    column.name: column
    for column in (
        Column("direct", "OpenAI SDK, 2 retries", offer_nothing, OTHERS_VENV / "python"),
        Column("tenacious", "tenacity, full jitter", offer_nothing, OTHERS_VENV / "python"),
        Column("leased", "token leases, queue per pod", offer_redis),
        Column("litellm_proxy", "LiteLLM proxy", offer_litellm, OTHERS_VENV / "python"),
        Column("sluicegate", "**Sluicegate**", offer_sluicegate),
        Column("oracle", "oracle", offer_nothing, processes=1),
    )
}
ORACLE, OURS = "oracle", "sluicegate"
