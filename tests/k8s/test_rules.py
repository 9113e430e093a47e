"""Each alert fires when it should and not otherwise, by Prometheus' own rule tester; and each has its paragraph."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from support.manifests import K8S, of_kind, render
from support.promtool import run_promtool

RUNBOOK = (K8S / "runbook.md").read_text()
POOL, UPSTREAM = '{pool="chat"}', '{pool="chat", upstream="a"}'


class Case(NamedTuple):
    """Series of which the alert must fire, and others of which it must not. In Prometheus' words `a+bxn` is a, a+b, … n
    times more; a minute lies between two values, and the alert is looked at after `at_m` minutes."""

    fires: dict[str, str]
    quiet: dict[str, str]
    at_m: int = 30


def of_pool(name: str, values: str) -> dict[str, str]:
    return {f"sluicegate_{name}{POOL}": values}


def either(name: str, fires: str, quiet: str) -> Case:
    """Of one series of the pool."""
    return Case(of_pool(name, fires), of_pool(name, quiet))


def calls(status: str, values: str, other: str) -> dict[str, str]:
    return {
        f'sluicegate_calls_total{{pool="chat", upstream="a", status="{status}"}}': values,
        'sluicegate_calls_total{pool="chat", upstream="a", status="2xx"}': other,
    }


def waits(seconds: float) -> dict[str, str]:
    """A hundred requests a minute that wait for so long."""
    buckets = ("0.5", "1", "30", "60", "+Inf")
    return {
        f'sluicegate_wait_seconds_bucket{{pool="chat", lane="interactive", le="{le}"}}': (
            "0+100x60" if float(le) >= seconds else "0x60"
        )
        for le in buckets
    }


def leases(seconds: float) -> dict[str, str]:
    buckets = ("0.001", "0.1", "0.25", "+Inf")
    return {
        f'sluicegate_lease_seconds_bucket{{pool="chat", le="{le}"}}': "0+100x60" if float(le) >= seconds else "0x60"
        for le in buckets
    }


def quota(actual: int) -> dict[str, str]:
    by = '{pool="chat", upstream="a", dimension="rpm"}'
    return {
        f"sluicegate_upstream_actual_per_minute{by}": f"{actual}x200",
        f"sluicegate_upstream_paced_per_minute{by}": "100x200",
    }


def memory(used: int, most: int) -> dict[str, str]:
    return {"sluicegate_redis_memory_used_bytes": f"{used}x90", "sluicegate_redis_memory_max_bytes": f"{most}x90"}


CASES = {
    "SluicegateNothingScraped": Case({"up": "1x60"}, {'sluicegate_build_info{version="1"}': "1x60"}),
    "SluicegateRedisAway": Case(
        {'sluicegate_redis_up{pod="x"}': "0x60"},
        {'sluicegate_redis_up{pod="x"}': "0x60", 'sluicegate_redis_up{pod="y"}': "1x60"},  # one pod's own trouble
    ),
    "SluicegateFewDispatchers": Case(
        of_pool("pool_dispatchers_alive", "1x60"), of_pool("pool_dispatchers_alive", "2x60")
    ),
    "SluicegateStoreErrors": Case(
        {'sluicegate_store_errors_total{pool="chat", loop="lease"}': "0+60x60"},
        {'sluicegate_store_errors_total{pool="chat", loop="lease"}': "0 1x60"},  # once is nothing
    ),
    "SluicegateSlowLeases": Case(leases(0.2), leases(0.05)),
    "SluicegateSlotsMissed": Case(
        calls("2xx", "0+100x60", "0+100x60") | {f"sluicegate_slots_missed_total{UPSTREAM}": "0+10x60"},
        calls("2xx", "0+100x60", "0+100x60") | {f"sluicegate_slots_missed_total{UPSTREAM}": "0+1x60"},
    ),
    "SluicegateLeasesLost": Case(of_pool("leases_lost_total", "0x25 1x35"), of_pool("leases_lost_total", "7x60")),
    "SluicegateLateAnswers": Case(of_pool("late_answers_total", "0+1x60"), of_pool("late_answers_total", "3x60")),
    "SluicegateScalerBlind": Case(
        {'sluicegate_scaler_calls_total{method="GetMetrics", code="UNAVAILABLE"}': "0+6x60"},
        {'sluicegate_scaler_calls_total{method="GetMetrics", code="OK"}': "0+6x60"},
    ),
    "SluicegateLongWaits": Case(waits(50), waits(0.7)),
    "SluicegateBacklogBeyondDeadline": Case(
        of_pool("pool_backlog_seconds", "400x60"), of_pool("pool_backlog_seconds", "200x60")
    ),
    "SluicegateStarved": Case(
        of_pool("pool_oldest_waiting_seconds", "700x60"), of_pool("pool_oldest_waiting_seconds", "500x60")
    ),
    "SluicegateUnfair": Case(
        of_pool("pool_fairness_gap_seconds", "90x60"), of_pool("pool_fairness_gap_seconds", "5x60")
    ),
    "SluicegateQuotaUnused": Case(
        quota(50) | of_pool("pool_backlog_seconds", "60x60") | of_pool("pool_paused", "0x60"),
        quota(50) | of_pool("pool_backlog_seconds", "60x60") | of_pool("pool_paused", "1x60"),
    ),
    "SluicegatePaused": Case(of_pool("pool_paused", "1x60"), of_pool("pool_paused", "0x20 1x40"), 45),
    "SluicegateBreakerOpen": Case(
        {'sluicegate_upstream_breaker{pool="chat", upstream="a", state="closed"}': "0x60"},
        {'sluicegate_upstream_breaker{pool="chat", upstream="a", state="closed"}': "0 1x60"},
    ),
    "SluicegateUpstreamPaused": Case(
        {f"sluicegate_upstream_pause_seconds{UPSTREAM}": "300x60"},
        {f"sluicegate_upstream_pause_seconds{UPSTREAM}": "5x60"},
    ),
    "SluicegateRefused": Case(calls("429", "0+10x60", "0+100x60"), calls("429", "0+1x60", "0+100x60")),
    "SluicegateQuotaUsedUp": Case(quota(99), quota(80), 150),
    "SluicegateRetries": Case(
        calls("5xx", "0+20x60", "0+80x60")
        | {'sluicegate_retries_total{pool="chat", upstream="a", reason="failure"}': "0+20x60"},
        calls("5xx", "0+20x60", "0+80x60")
        | {'sluicegate_retries_total{pool="chat", upstream="a", reason="rate"}': "0+20x60"},  # no failure of a request
    ),
    "SluicegateDeadLetters": Case(
        {'sluicegate_dead_letters_total{pool="chat", reason="attempts"}': "0+1x60"},
        {'sluicegate_dead_letters_total{pool="chat", reason="attempts"}': "50x60"},  # old ones
    ),
    "SluicegateRedisFillsUp": Case(memory(90, 100), memory(90, 0)),
    "SluicegateRedisUnbounded": Case(memory(90, 0), memory(10, 100), 80),
}


def rules() -> dict[str, Any]:
    [found] = of_kind(render("prod"), "PrometheusRule")
    spec: dict[str, Any] = found["spec"]
    return spec


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in rules()["groups"] for rule in group["rules"] if "alert" in rule}


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(yaml.safe_dump(rules()))
    return file


def test_prometheus_reads_them(rules_file: Path) -> None:
    assert "SUCCESS" in run_promtool("check", "rules", rules_file)


def test_every_alert_is_tried() -> None:
    assert CASES.keys() == alerts().keys()


def test_every_alert_fires_when_it_should_and_only_then(rules_file: Path, tmp_path: Path) -> None:
    run_promtool("test", "rules", _write_tests(rules_file, tmp_path, {True: "fires", False: "quiet"}))


def test_an_alert_that_does_not_fire_is_found(rules_file: Path, tmp_path: Path) -> None:
    """The same tests with the series exchanged."""
    with pytest.raises(AssertionError, match="FAILED"):
        run_promtool("test", "rules", _write_tests(rules_file, tmp_path, {False: "fires", True: "quiet"}))


def _write_tests(rules_file: Path, tmp_path: Path, kinds: dict[bool, str]) -> Path:
    tests = []
    for alert, case in CASES.items():
        for fires, which in kinds.items():
            series = [{"series": name, "values": values} for name, values in getattr(case, which).items()]
            query = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
            expected = [{"labels": "{}", "value": int(fires)}]
            asked = {"expr": query, "eval_time": f"{case.at_m}m", "exp_samples": expected}
            tests.append({"interval": "1m", "input_series": series, "promql_expr_test": [asked]})
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules_file)], "evaluation_interval": "1m", "tests": tests}))
    return file


def test_every_alert_has_its_paragraph_and_no_other() -> None:
    paragraphs = re.findall(r"^### (\w+)\n\n(.+?)(?=\n### |\n## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in paragraphs] == list(alerts())
    assert [name for name, text in paragraphs if len(text.split()) < 25 or "`" not in text] == []


def test_every_alert_says_how_bad_it_is_and_what_it_is() -> None:
    for name, alert in alerts().items():
        assert alert["labels"]["severity"] in ("page", "ticket"), name
        assert alert["annotations"]["summary"], name
