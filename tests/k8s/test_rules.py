"""Each alert fires when it should and not otherwise, by Prometheus' own rule tester."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.alert_cases import CASES, Case, Series
from support.alerting import list_rules, read_alerts, read_rules
from support.manifests import K8S, of_kind, render
from support.promtool import run_promtool


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
    """Where it fires, it does not do so a minute before it has been bad for long enough."""
    expected = {CASES[alert].at_m: int(fires)}
    if "for" in read_alerts()[alert]:
        expected[_minutes(read_alerts()[alert]["for"]) - 1] = 0
    asked = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": asked, "eval_time": f"{at_m}m", "exp_samples": [{"labels": "{}", "value": count}]}
            for at_m, count in expected.items()
        ],
    }


def _minutes(duration: str) -> int:
    return int(duration[:-1]) * {"m": 1, "h": 60}[duration[-1]]


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


def test_two_installations_are_told_apart() -> None:
    kept = [labels for rule in list_rules() for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", rule["expr"])]
    assert len(kept) > 50
    assert [labels for labels in kept if "namespace" not in labels] == []


def test_a_backlog_is_too_long_at_the_deadline_of_the_settings() -> None:
    settings = tomllib.loads((K8S / "base" / "sluicegate.toml").read_text())
    [deadline_s] = {pool["deadline_s"] for pool in settings["pools"].values()}
    assert read_alerts()["SluicegateBacklogBeyondDeadline"]["expr"].endswith(f"> {deadline_s}")


def test_who_is_not_scraped_is_looked_for_by_the_name_that_the_operator_gives() -> None:
    """`namespace/name` of the PodMonitor."""
    [monitor] = of_kind(render("prod"), "PodMonitor")
    [job] = re.findall(r'job=~"([^"]+)"', read_alerts()["SluicegateNotScraped"]["expr"])
    assert re.fullmatch(job, f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}")
