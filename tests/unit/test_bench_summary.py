"""What the herd benchmark makes of its runs: medians, who is better, the table and the chart."""

from xml.etree import ElementTree as ET

from bench.herd.chart import draw_chart
from bench.herd.overview import write_overview
from bench.herd.run import Run
from bench.herd.scenarios import MODELS, list_scenarios
from bench.herd.summary import TRAITS, Summary, find_leads, is_better, summarise
from bench.herd.table import write_tables
from support.herd_runs import make_run

TRAIT = {trait.field: trait for trait in TRAITS}
TITLES = {"direct": "SDK", "sluicegate": "**Sluicegate**", "oracle": "oracle"}


def find(summaries: list[Summary], column: str) -> Summary:
    return next(summary for summary in summaries if summary.column == column)


def test_medians_are_over_seeds_and_set_against_the_oracle() -> None:
    runs = [make_run("sluicegate", seed, p95_s=p95_s) for seed, p95_s in ((1, 3.0), (2, 9.0), (3, None))]
    summary = find(summarise([*runs, make_run("oracle", 1)], "oracle"), "sluicegate")
    assert (summary.seeds, summary.medians["p95_s"], summary.to_oracle["p95_s"]) == (3, 9.0, 4.5)
    assert summary.to_oracle["goodput"] == 1.0
    assert "calls_429" not in summary.to_oracle


def test_a_median_may_be_never() -> None:
    runs = [make_run("direct", seed, p95_s=p95_s) for seed, p95_s in ((1, 3.0), (2, None), (3, None))]
    summary = find(summarise([*runs, make_run("oracle", 1)], "oracle"), "direct")
    assert (summary.medians["p95_s"], summary.to_oracle["p95_s"]) == (None, None)


def test_what_failed_for_one_seed_has_no_medians() -> None:
    failed = Run("burst", "free", "direct", 2, 1_200, impossible="it did not start")
    [summary] = summarise([make_run("direct", 1), failed], "oracle")
    assert (summary.medians, summary.impossible) == ({}, "it did not start")


def test_better_is_more_or_less_and_noticeably_so() -> None:
    assert is_better(TRAIT["goodput"], 0.95, 0.9)
    assert not is_better(TRAIT["goodput"], 0.91, 0.9)
    assert is_better(TRAIT["p95_s"], 1.8, 2.0)
    assert not is_better(TRAIT["p95_s"], 1.99, 2.0)
    assert is_better(TRAIT["p95_s"], 20.0, None)
    assert not is_better(TRAIT["p95_s"], None, 20.0)


def test_whoever_is_better_than_we_is_found() -> None:
    summaries = summarise(
        [make_run("direct", 1, p50_s=0.5, answered=0.5), make_run("sluicegate", 1), make_run("oracle", 1)], "oracle"
    )
    leads = find_leads(summaries, find(summaries, "sluicegate"), TRAITS)
    assert [(lead.column, lead.trait.field, lead.its, lead.ours) for lead in leads] == [("direct", "p50_s", 0.5, 1.0)]


def test_the_table_says_who_is_better_and_what_was_not_measured() -> None:
    runs = [
        make_run("direct", 1, p50_s=0.5, p99_s=None, busy=0.9, late_s_max=0.7),
        make_run("sluicegate", 1),
        Run("burst", "free", "oracle", 1, 1_200, impossible="it is on holiday"),
    ]
    text = write_tables(summarise(runs, "oracle"), list_scenarios(1_200), MODELS, TITLES, "sluicegate")
    assert "| SDK | 1.00 | 0 | 90 % | 100 % | 0.5 s | 2.0 s | never | 1.00 | 3 |" in text
    assert "Better than **Sluicegate**: SDK in p50 0.5 s against 1.0 s." in text
    assert "oracle: not measured. it is on holiday" in text
    assert "SDK: what stands between agents and provider wanted a core for 90 % of the time" in text
    assert "SDK: the machine fell behind; agents asked up to 0.7 s late" in text
    assert "light" not in text  # there are no hogs in this scenario


def test_the_overview_marks_the_best_beside_the_oracle() -> None:
    runs = [
        make_run("direct", 1, sent_per_answer=3.0, light_p99_s=2.0),
        make_run("sluicegate", 1, calls_429=0),
        make_run("oracle", 1, light_p99_s=1.0),
    ]
    lines = write_overview(summarise(runs, "oracle"), TITLES, "oracle").splitlines()
    assert lines[2:] == [
        "| burst | SDK | 3.00 | **0** | **90 %** | **100 %** | **2.0 s** |",
        "|  | **Sluicegate** | **1.00** | **0** | **90 %** | **100 %** | 4.0 s |",
        "|  | oracle | 1.00 | 0 | 90 % | 100 % | 1.0 s |",
    ]


def test_the_chart_is_whole() -> None:
    summaries = summarise(
        [make_run("direct", 1, light_p95_s=None), make_run("sluicegate", 1), make_run("oracle", 1)], "oracle"
    )
    drawn = ET.fromstring(draw_chart(summaries, TITLES, "sluicegate", "oracle"))  # noqa: S314 - our own
    texts = [element.text for element in drawn.iter()]
    assert {"burst", "SDK", "Sluicegate", "oracle", "never", "2.0 s"} <= set(texts)
