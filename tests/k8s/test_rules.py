"""Each alert fires when it should and not otherwise, by Prometheus' own rule tester."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from support.alerting import read_alerts, read_rules
from support.manifests import K8S, of_kind, render
from support.promtool import run_promtool

Series = dict[str, str]


class Case(NamedTuple):
    """Series of which the alert must fire once, and others, one for each of its conditions, of which it must not. In
    Prometheus' words `a+bxn` is a, a+b, … n times more; a minute lies between two values, and the alert is looked at
    after `at_m` minutes."""

    fires: Series
    quiet: tuple[Series, ...]
    at_m: int = 30


def of_pool(name: str, values: str, labels: str = "") -> Series:
    return {f'sluicegate_{name}{{pool="chat"{labels}}}': values}


def of_upstream(name: str, values: str, labels: str = "") -> Series:
    return of_pool(name, values, f', upstream="a"{labels}')


def either(name: str, fires: str, quiet: str, at_m: int = 30) -> Case:
    """Of one series of the pool."""
    return Case(of_pool(name, fires), (of_pool(name, quiet),), at_m)


def calls(each_minute: float, **others: float) -> Series:
    """That many good ones, and others by their status."""
    return {
        **of_upstream("calls_total", f"0+{each_minute}x180", ', status="2xx"'),
        **{
            name: values
            for status, more in others.items()
            for name, values in of_upstream("calls_total", f"0+{more}x180", f', status="{status[1:]}"').items()
        },
    }


def histogram(name: str, seconds: float, labels: str = "") -> Series:
    """A hundred a minute that take so long."""
    found: Series = {}
    for le in ("0.05", "0.1", "0.25", "1", "30", "60", "+Inf"):
        found |= of_pool(f"{name}_bucket", "0+100x60" if float(le) >= seconds else "0x60", f'{labels}, le="{le}"')
    return found


def quota(actual: int, dimension: str = "rpm") -> Series:
    """Of a hundred."""
    by = f', dimension="{dimension}"'
    return {
        **of_upstream("upstream_actual_per_minute", f"{actual}x200", by),
        **of_upstream("upstream_paced_per_minute", "100x200", by),
    }


def counted_tokens(each_minute: int, direction: str, dimension: str) -> Series:
    """Of a limit of a thousand."""
    return {
        **of_upstream("tokens_total", f"0+{each_minute}x200", f', direction="{direction}"'),
        **of_upstream("upstream_paced_per_minute", "1000x200", f', dimension="{dimension}"'),
    }


def breaker(closed: str, upstream: str = "a") -> Series:
    return of_pool("upstream_breaker", closed, f', upstream="{upstream}", state="closed"')


def queue(waiting: int, delayed: int) -> Series:
    return of_pool("pool_waiting", f"{waiting}x60") | of_pool("pool_delayed", f"{delayed}x60")


def idle(use: Series, backlog_s: int = 60, paused: int = 0, closed: int = 1, pause_s: int = 0) -> Series:
    """An upstream while work waits."""
    return {
        **use,
        **of_pool("pool_backlog_seconds", f"{backlog_s}x60"),
        **of_pool("pool_paused", f"{paused}x60"),
        **breaker(f"{closed}x60"),
        **of_upstream("upstream_pause_seconds", f"{pause_s}x60"),
    }


def wanted(asked: int, alive: int, pod: str = "s1", values: str = "0+6x60") -> Series:
    """By a pod of the scaler."""
    return {
        **of_pool("scaler_wanted", f"{asked}x60", f', signal="dispatchers", pod="{pod}"'),
        f'sluicegate_scaler_calls_total{{method="GetMetrics", code="OK", pod="{pod}"}}': values,
        **of_pool("pool_dispatchers_alive", f"{alive}x60"),
    }


def retried(reason: str, values: str = "0+20x180") -> Series:
    return of_upstream("retries_total", values, f', reason="{reason}"')


def memory(used: int, most: int) -> Series:
    return {"sluicegate_redis_memory_used_bytes": f"{used}x90", "sluicegate_redis_memory_max_bytes": f"{most}x90"}


def redis_up(**pods: int) -> Series:
    return {f'sluicegate_redis_up{{pod="{pod}"}}': f"{up}x60" for pod, up in pods.items()}


HELD = 'sluicegate_pool_dispatchers_alive{namespace="staging", pool="chat"}'  # another installation

CASES = {
    "SluicegateNothingScraped": Case({"up": "1x60"}, ({'sluicegate_build_info{version="1"}': "1x60"},)),
    "SluicegateNoDispatcher": Case(
        {HELD: "0x60", **of_pool("pool_dispatchers_alive", "2x60")}, (of_pool("pool_dispatchers_alive", "1x60"),)
    ),
    "SluicegateRedisAway": Case(redis_up(x=0, y=0), (redis_up(x=0, y=1),)),
    "SluicegateCutOff": Case(redis_up(x=0, y=1), (redis_up(x=0, y=0), redis_up(x=1, y=1))),
    "SluicegateNotScraped": Case(
        {'up{job="sluicegate/sluicegate", pod="x"}': "0x60"},
        ({'up{job="sluicegate/sluicegate", pod="x"}': "1x60", 'up{job="other/one", pod="y"}': "0x60"},),
    ),
    "SluicegateFewDispatchers": either("pool_dispatchers_alive", "1x60", "2x60"),
    "SluicegateFewerThanWanted": Case(
        wanted(5, 4),
        (
            wanted(20, 19),  # which the HPA leaves alone
            wanted(2, 2) | wanted(9, 2, "s2", "300x60"),  # what a pod said that nobody asks any more
        ),
    ),
    "SluicegateScalerBlind": Case(
        {'sluicegate_scaler_calls_total{method="GetMetrics", code="UNAVAILABLE"}': "0+6x60"},
        ({'sluicegate_scaler_calls_total{method="GetMetrics", code="OK"}': "0+6x60"},),
    ),
    "SluicegateStoreErrors": Case(
        of_pool("store_errors_total", "0+60x60", ', loop="lease"'),
        (of_pool("store_errors_total", "0 20x60", ', loop="lease"'),),
    ),
    "SluicegateSlowLeases": Case(histogram("lease_seconds", 0.2), (histogram("lease_seconds", 0.05),)),
    "SluicegateSlotsMissed": Case(
        calls(100) | of_upstream("slots_missed_total", "0+10x60"),
        (calls(100) | of_upstream("slots_missed_total", "0+1x60"),),
    ),
    "SluicegateLeasesLost": either("leases_lost_total", "0x25 1x35", "7x60"),
    "SluicegateLateAnswers": Case(
        calls(100) | of_pool("late_answers_total", "0+2x180"),
        (calls(1000) | of_pool("late_answers_total", "0+2x180"), calls(1) | of_pool("late_answers_total", "0x20 3x60")),
    ),
    "SluicegateBacklogBeyondDeadline": either("pool_backlog_seconds", "400x60", "200x60"),
    "SluicegateLongWaits": Case(
        histogram("wait_seconds", 50, ', lane="interactive"'),
        (histogram("wait_seconds", 1, ', lane="interactive"'), histogram("wait_seconds", 50, ', lane="batch"')),
    ),
    "SluicegateStarved": either("pool_oldest_waiting_seconds", "700x60", "500x60"),
    "SluicegateUnfair": either("pool_fairness_gap_seconds", "90x60", "5x60"),
    "SluicegateQuotaUnused": Case(
        idle(quota(50)),
        (
            idle(quota(80)),
            idle(quota(20) | counted_tokens(900, "input", "itpm")),  # what is scarce is tokens
            idle(quota(20) | counted_tokens(900, "output", "otpm")),
            idle(quota(50), backlog_s=20),
            idle(quota(50), paused=1),
            idle(quota(50), closed=0),
            idle(quota(50), pause_s=100),
        ),
    ),
    "SluicegatePaused": either("pool_paused", "1x60", "0x20 1x40", 45),
    "SluicegateKeyUseless": Case(
        breaker("0x60") | retried("credentials", "0x10 1x180"),
        (breaker("0x60") | retried("failure"), breaker("1x60") | retried("credentials")),
    ),
    "SluicegateNoUpstream": Case(
        breaker("0x60") | breaker("0x60", "b") | queue(0, 1),
        (breaker("0x60") | breaker("1x60", "b") | queue(5, 5), breaker("0x60") | queue(0, 0)),
    ),
    "SluicegateBreakerOpen": Case(breaker("0x60") | breaker("1x60", "b"), (breaker("0x27 1x60"),)),
    "SluicegateUpstreamPaused": Case(
        of_upstream("upstream_pause_seconds", "300x60"), (of_upstream("upstream_pause_seconds", "60x60"),)
    ),
    "SluicegateRefused": Case(calls(100, _429=10), (calls(100, _429=1), calls(10, _429=0.9), calls(100, _5xx=10))),
    "SluicegateQuotaUsedUp": Case(
        quota(99),
        (quota(80), counted_tokens(3000, "input", "itpm")),  # the latter mostly from the cache
        150,
    ),
    "SluicegateRetries": Case(
        calls(80, _5xx=20) | retried("failure"),
        (
            calls(80, _429=20) | retried("rate"),
            calls(4) | retried("failure", "0+0.5x60"),
            calls(1000) | retried("failure"),
        ),
    ),
    "SluicegateDeadLetters": Case(
        of_pool("dead_letters_total", "0+1x60", ', reason="attempts"'),
        (of_pool("dead_letters_total", "50x60", ', reason="attempts"'),),  # old ones
    ),
    "SluicegateRedisFull": Case(memory(97, 100), (memory(90, 100), memory(97, 0))),
    "SluicegateRedisFillsUp": Case(memory(90, 100), (memory(70, 100), memory(90, 0))),
    "SluicegateRedisUnbounded": Case(memory(90, 0), (memory(10, 100),), 80),
}


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(yaml.safe_dump(read_rules()))
    return file


def test_prometheus_reads_them(rules_file: Path) -> None:
    assert "SUCCESS" in run_promtool("check", "rules", rules_file)


def test_every_alert_is_tried() -> None:
    assert CASES.keys() == read_alerts().keys()


def test_every_alert_fires_when_it_should_and_only_then(rules_file: Path, tmp_path: Path) -> None:
    tests = [_write_test(alert, series, fires) for alert, case in CASES.items() for fires, series in _series_of(case)]
    run_promtool("test", "rules", _write_tests(rules_file, tmp_path, tests))


@pytest.mark.parametrize("fires", [False, True])
def test_an_alert_that_does_otherwise_is_found(rules_file: Path, tmp_path: Path, fires: bool) -> None:
    """With the expectation of one case turned round."""
    [series] = [series for one, series in _series_of(CASES["SluicegateFewDispatchers"]) if one is not fires]
    test = _write_test("SluicegateFewDispatchers", series, fires)
    with pytest.raises(AssertionError, match="FAILED"):
        run_promtool("test", "rules", _write_tests(rules_file, tmp_path, [test]))


def _series_of(case: Case) -> Iterator[tuple[bool, Series]]:
    """Each with whether the alert fires."""
    yield True, case.fires
    yield from ((False, series) for series in case.quiet)


def _write_test(alert: str, series: Series, fires: bool) -> dict[str, object]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
                "eval_time": f"{CASES[alert].at_m}m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}],
            }
        ],
    }


def _write_tests(rules_file: Path, tmp_path: Path, tests: list[dict[str, object]]) -> Path:
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules_file)], "evaluation_interval": "1m", "tests": tests}))
    return file


def test_an_alert_pages_only_where_agents_get_no_answers() -> None:
    pages = {name for name, alert in read_alerts().items() if alert["labels"]["severity"] == "page"}
    assert pages == {
        "SluicegateNothingScraped",
        "SluicegateNoDispatcher",
        "SluicegateRedisAway",
        "SluicegateBacklogBeyondDeadline",
        "SluicegateKeyUseless",
        "SluicegateNoUpstream",
        "SluicegateRedisFull",
    }
    assert {alert["labels"]["severity"] for alert in read_alerts().values()} == {"page", "ticket"}


def test_a_backlog_is_too_long_at_the_deadline_of_the_settings() -> None:
    settings = tomllib.loads((K8S / "base" / "sluicegate.toml").read_text())
    [deadline_s] = {pool["deadline_s"] for pool in settings["pools"].values()}
    assert read_alerts()["SluicegateBacklogBeyondDeadline"]["expr"].endswith(f"> {deadline_s}")


def test_who_is_not_scraped_is_looked_for_by_the_name_that_the_operator_gives() -> None:
    """`namespace/name` of the PodMonitor."""
    [monitor] = of_kind(render("prod"), "PodMonitor")
    [job] = re.findall(r'job=~"([^"]+)"', read_alerts()["SluicegateNotScraped"]["expr"])
    assert re.fullmatch(job, f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}")
