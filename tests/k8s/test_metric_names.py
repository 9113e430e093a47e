"""Every metric and label that a rule or the dashboard names is exported by a running dispatcher or scaler."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from sluicegate import AsyncProducer, RequestDead
from support.grafana import read_expressions
from support.manifests import of_kind, render
from support.pools import chat
from support.processes import start_dispatcher, write_settings
from support.promtool import run_promtool
from support.scaling import DISPATCHERS, ask, start_scaler
from support.served_pool import PATH, POOL
from support.upstream import Upstream, answer
from support.waiting import wait_until

_NAME = re.compile(r"\bsluicegate_\w+")
_SELECTED = re.compile(r"\b(sluicegate_\w+)\{([^}]*)\}")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_BY = re.compile(r"\bby \(([^)]*)\)")
_OF_THE_SCRAPE = {"pod", "le"}  # added by Prometheus, and by histograms
USED = b'{"usage":{"prompt_tokens":11,"completion_tokens":5}}'


def asked() -> list[str]:
    [found] = of_kind(render("prod"), "PrometheusRule")
    rules = [rule["expr"] for group in found["spec"]["groups"] for rule in group["rules"]]
    return [*rules, *read_expressions()]


def recorded() -> set[str]:
    [found] = of_kind(render("prod"), "PrometheusRule")
    return {rule["record"] for group in found["spec"]["groups"] for rule in group["rules"] if "record" in rule}


@pytest.fixture
async def scraped(http: ClientSession, redis_url: str, upstream: Upstream, tmp_path: Path) -> str:
    """What both export, after a little of everything has happened."""
    upstream.next_up.extend([answer(429, headers={"retry-after": "0.05"}), *[answer(500)] * 5])
    settings = write_settings(redis_url, upstream.base_url, "rpm = 6000", "tpm = 6000000")
    where = ("--health-port", "0", "--health-host", "127.0.0.1")
    with start_dispatcher(tmp_path, settings, *where) as dispatcher, start_scaler(tmp_path, redis_url) as scaler:
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer, ask(scaler.address) as keda:
            with pytest.raises(RequestDead):
                await producer.request(PATH, chat("x"))
            upstream.next_up.append(answer(body=USED))
            await producer.request(PATH, chat("x"))
            assert [piece async for piece in producer.stream(PATH, chat("x"))] != []

            async def answers() -> bool:
                return await keda.read_health() == "SERVING" and await keda.wants(DISPATCHERS) >= 0

            await wait_until(answers, "the scaler has an answer")
        port = re.findall(r"at port (\d+)", dispatcher.words)[0]
        texts = [await _read(http, number) for number in (port, scaler.http_port)]
    return "".join(texts)


async def _read(http: ClientSession, port: str | int) -> str:
    async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 200
        return await response.text()


def _labels(text: str) -> dict[str, set[str]]:
    """Of each sample's name."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _strangers(expressions: list[str], exported: dict[str, set[str]]) -> Iterator[str]:
    known = set().union(*exported.values()) | _OF_THE_SCRAPE
    for expression in expressions:
        yield from (name for name in _NAME.findall(expression) if name not in exported)
        for name, selector in _SELECTED.findall(expression):
            yield from (
                f"{name}{{{label}}}"
                for label in _LABEL.findall(selector)
                if label not in exported.get(name, set()) | _OF_THE_SCRAPE
            )
        for labels in _BY.findall(expression):
            yield from (f"by {label}" for label in re.findall(r"\w+", labels) if label not in known)
        yield from (name for name in re.findall(r"\bsluicegate:[\w:]+", expression) if name not in recorded())


async def test_everything_that_is_asked_for_is_there(scraped: str) -> None:
    exported = _labels(scraped)
    assert len(asked()) > 60
    assert list(_strangers(asked(), exported)) == []
    wrong = ["sluicegate_poolwaiting", 'sluicegate_pool_waiting{agent="x"}', "max by (agent) (sluicegate_pool_waiting)"]
    assert len(list(_strangers(wrong, exported))) == len(wrong)


async def test_prometheus_finds_nothing_to_say_about_them(scraped: str) -> None:
    ours = [line for line in scraped.splitlines() if "sluicegate_" in line]
    run_promtool("check", "metrics", stdin="\n".join(ours) + "\n")


async def test_no_name_is_of_an_agent_or_a_request(scraped: str) -> None:
    labels = set().union(*_labels(scraped).values())
    bounded = {
        "pool",
        "upstream",
        "dimension",
        "state",
        "status",
        "outcome",
        "reason",
        "lane",
        "loop",
        "direction",
        "le",
    }
    assert labels - bounded == {"version", "method", "code", "signal"}
