"""Every metric, label and value that a rule or the dashboard names is exported by a running dispatcher or scaler."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import ClientSession
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from sluicegate import AsyncProducer, RequestDead
from support.alerting import list_rules
from support.grafana import read_expressions
from support.pools import chat
from support.processes import Process, start_dispatcher, write_settings
from support.promql import Selection, read_selections
from support.promtool import run_promtool
from support.scaling import DISPATCHERS, ask, start_scaler
from support.served_pool import PATH, POOL
from support.upstream import Upstream, answer
from support.waiting import wait_until

OF_PROMETHEUS = {"up": {"job"}, "ALERTS": {"alertname", "alertstate", "severity"}}
OF_THE_SCRAPE = {"namespace", "pod"}  # added by the operator's PodMonitor
ANYTHING = {".*", "$pool", "$namespace"}
USED = b'{"usage":{"prompt_tokens":11,"completion_tokens":5}}'
LIMITS = ("rpm = 6000", "tpm = 6000000", "itpm = 6000000", "otpm = 6000000")
BOUNDED = {
    *("pool", "upstream", "dimension", "state", "status", "outcome", "reason", "lane", "loop", "direction", "le"),
    *("version", "method", "code", "signal"),
}


class Scrapes(NamedTuple):
    """`first` is a dispatcher's before anything has happened; `whole` its and the scaler's after a little of all."""

    first: str
    whole: str


def asked() -> list[str]:
    return [*(rule["expr"] for rule in list_rules()), *read_expressions()]


def recorded() -> dict[str, set[str]]:
    """The labels of each recorded name: those that its outermost aggregation keeps, and those that it is given."""
    found: dict[str, set[str]] = {}
    for rule in list_rules():
        if "record" in rule:
            [kept] = re.findall(r"\bby \(([^)]*)\)", rule["expr"])[:1]
            found.setdefault(rule["record"], set()).update(re.findall(r"\w+", kept), rule.get("labels", {}))
    return found


@contextmanager
def running(directory: Path, redis_url: str, upstream: Upstream) -> Iterator[tuple[Process, str]]:
    """A dispatcher, and where its pages are."""
    settings = write_settings(redis_url, upstream.base_url, *LIMITS)
    with start_dispatcher(directory, settings, "--health-port", "0", "--health-host", "127.0.0.1") as dispatcher:
        [port] = re.findall(r"at port (\d+)", dispatcher.words)
        yield dispatcher, port


@pytest.fixture
async def scrapes(http: ClientSession, redis_url: str, upstream: Upstream, tmp_path: Path) -> Scrapes:
    """A success, a stream, a 429, failures and a dead letter; and KEDA's questions."""
    with running(tmp_path, redis_url, upstream) as (_, port), start_scaler(tmp_path, redis_url) as scaler:
        first = await _read(http, port)
        upstream.next_up.extend([answer(429, headers={"retry-after": "0.05"}), *[answer(500)] * 5])
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer, ask(scaler.address) as keda:
            with pytest.raises(RequestDead):
                await producer.request(PATH, chat("x"))
            upstream.next_up.append(answer(body=USED))
            await producer.request(PATH, chat("x"))
            assert [piece async for piece in producer.stream(PATH, chat("x"))] != []

            async def answers() -> bool:
                return await keda.read_health() == "SERVING" and await keda.wants(DISPATCHERS) >= 0

            await wait_until(answers, "the scaler has an answer")
        return Scrapes(first, await _read(http, port) + await _read(http, scaler.http_port))


async def _read(http: ClientSession, port: str | int) -> str:
    async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 200
        return await response.text()


class Exported:
    """Labels and their values, by the name of the sample."""

    def __init__(self, text: str) -> None:
        self.labels: dict[str, set[str]] = {}
        self.values: dict[tuple[str, str], set[str]] = {}
        families: Iterable[Metric] = text_string_to_metric_families(text)
        for sample in (sample for family in families for sample in family.samples):
            self.labels.setdefault(sample.name, set()).update(sample.labels)
            for label, value in sample.labels.items():
                self.values.setdefault((sample.name, label), set()).add(value)


def strangers(expressions: list[str], exported: Exported) -> Iterator[str]:
    """What is not there: names, labels in selectors and aggregations, and values that are selected."""
    known = exported.labels | recorded() | OF_PROMETHEUS
    for expression in expressions:
        for selection in read_selections(expression):
            if selection.name not in known:
                yield selection.name
                continue
            labels = known[selection.name] | OF_THE_SCRAPE
            yield from (f"{selection.name} by {label}" for label in selection.kept if label not in labels)
            yield from (f"{selection.name}{{{label}}}" for label in selection.wanted if label not in labels)
            yield from _strange_values(selection, exported)


def _strange_values(selection: Selection, exported: Exported) -> Iterator[str]:
    for label, values in selection.wanted.items():
        there = exported.values.get((selection.name, label))
        if there is not None:
            yield from (f"{selection.name}{{{label}={value}}}" for value in values - there - ANYTHING)


async def test_everything_that_is_asked_for_is_there(scrapes: Scrapes) -> None:
    exported = Exported(scrapes.whole)
    assert len(asked()) > 60
    assert list(strangers(asked(), exported)) == []
    wrong = [
        "sluicegate_poolwaiting",
        "redis_up",
        "sluicegate:call:rate5m",
        'sluicegate_pool_waiting{agent="x"}',
        'sluicegate_calls_total{status="492"}',
        "max by (upstream) (sluicegate_pool_waiting)",
        "sum by (pool, lane) (sluicegate:calls:rate5m)",
    ]
    assert len(list(strangers(wrong, exported))) == len(wrong)


async def test_a_useless_key_is_seen_by_what_its_alert_looks_at(
    http: ClientSession, redis_url: str, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.behaviour = answer(401)
    with running(tmp_path, redis_url, upstream) as (_, port):
        async with AsyncProducer(redis_url, pool=POOL, agent="ann") as producer:
            await producer.submit(PATH, chat("x"))

            async def is_seen() -> bool:
                lines = (await _read(http, port)).splitlines()
                refused = 'sluicegate_retries_total{pool="chat",reason="credentials",upstream="a"} 1.0' in lines
                return refused and 'sluicegate_upstream_breaker{pool="chat",state="closed",upstream="a"} 0.0' in lines

            await wait_until(is_seen, "the refusal is counted and the breaker is not closed")


async def test_what_is_counted_begins_with_nothing(scrapes: Scrapes) -> None:
    """A counter that begins with its first event does not increase by that: its alert would not fire."""
    exported = Exported(scrapes.first)
    watched = [one for rule in list_rules() for one in read_selections(rule["expr"]) if one.increases]
    assert {one.name.removeprefix("sluicegate_") for one in watched} >= {"retries_total", "dead_letters_total"}
    for one in watched:
        assert one.name in exported.labels
        assert list(_strange_values(one, exported)) == []


async def test_everything_that_is_exported_can_be_looked_at(scrapes: Scrapes) -> None:
    """Nothing is exported for nobody."""
    families = {family.name for family in text_string_to_metric_families(scrapes.whole)}
    used = {re.sub(r"_(bucket|total)$", "", one.name) for expression in asked() for one in read_selections(expression)}
    ours = {name for name in families if name.startswith("sluicegate_") and not name.endswith("_created")}
    assert ours - used == set()


async def test_prometheus_finds_nothing_to_say_about_them(scrapes: Scrapes) -> None:
    ours = [line for line in scrapes.whole.splitlines() if "sluicegate_" in line]
    run_promtool("check", "metrics", stdin="\n".join(ours) + "\n")


async def test_no_name_is_of_an_agent_or_a_request(scrapes: Scrapes) -> None:
    assert set().union(*Exported(scrapes.whole).labels.values()) == BOUNDED
