"""All limits of a simulated provider decide together, charge what the provider charges, and settle in the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.simulator.behaviour import Behaviour, Dimension, Profile
from sluicegate_worker.simulator.limits import MINUTE_US, SECOND_US
from sluicegate_worker.simulator.metering import Meter

LIMIT = 1_000_000
FULL = Behaviour(rpm=LIMIT, tpm=LIMIT, itpm=LIMIT, otpm=LIMIT, rpd=LIMIT, tpd=LIMIT, style="fixed-minute")


def used(meter: Meter, now_us: int = 0) -> dict[Dimension, int]:
    return {dimension: standing.limit - standing.remaining for dimension, standing in meter.look(now_us).items()}


def tokens_used(profile: Profile, max_out: int | None, answered: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What a call of 100 tokens with 50 to answer uses of tpm, itpm and otpm: first, and when so many were answered."""
    meter = Meter(Behaviour(tpm=LIMIT, itpm=LIMIT, otpm=LIMIT, style="fixed-minute", profile=profile), 0)
    verdict = meter.arrive(0, 100, max_out, 50)
    assert verdict.receipt is not None
    first = tuple(used(meter).values())
    meter.finish(SECOND_US, verdict.receipt, answered)
    return first, tuple(used(meter, SECOND_US).values())


@pytest.mark.parametrize(
    ("profile", "max_out", "first", "in_the_end"),
    [
        ("openai", 300, (400, 100, 300), (400, 100, 300)),
        ("openai", None, (150, 100, 50), (150, 100, 50)),
        ("azure", 300, (400, 100, 300), (400, 100, 300)),
        ("anthropic", 300, (100, 100, 0), (150, 100, 50)),
        ("gemini", 300, (100, 100, 0), (100, 100, 50)),
        ("bedrock", 300, (400, 100, 300), (150, 100, 50)),
        ("bedrock", None, (150, 100, 50), (150, 100, 50)),
        ("generic", 300, (150, 100, 50), (150, 100, 50)),
    ],
)
def test_each_provider_charges_as_it_does(
    profile: Profile, max_out: int | None, first: tuple[int, ...], in_the_end: tuple[int, ...]
) -> None:
    assert tokens_used(profile, max_out, answered=50) == (first, in_the_end)


@pytest.mark.parametrize(
    ("profile", "in_the_end"),
    [("openai", (400, 100, 300)), ("anthropic", (100, 100, 0)), ("bedrock", (100, 100, 0)), ("generic", (100, 100, 0))],
)
def test_an_answer_that_never_came_is_charged_only_where_it_was_reserved_for_good(
    profile: Profile, in_the_end: tuple[int, ...]
) -> None:
    assert tokens_used(profile, 300, answered=0)[1] == in_the_end


def test_a_call_uses_one_request_and_the_days_tokens() -> None:
    meter = Meter(FULL, 0)
    meter.arrive(0, 100, 300, 50)
    assert used(meter) == {"rpm": 1, "tpm": 400, "itpm": 100, "otpm": 300, "rpd": 1, "tpd": 400}


@pytest.mark.parametrize("dimension", ["rpm", "tpm", "itpm", "otpm", "rpd", "tpd"])
def test_one_limit_is_enough_to_refuse_and_then_none_is_charged(dimension: Dimension) -> None:
    behaviour = Behaviour(**(FULL.limits() | {dimension: 1}), style="fixed-minute")  # type: ignore[arg-type]
    meter = Meter(behaviour, 0)
    assert meter.arrive(0, 1, 1, 1).admitted
    before = used(meter)
    verdict = meter.arrive(0, 1, 1, 1)
    assert (verdict.admitted, verdict.refused_by, verdict.receipt) == (False, dimension, None)
    assert verdict.requested == (2 if dimension in {"tpm", "tpd"} else 1)
    assert used(meter) == before


def test_the_wait_is_that_of_the_slowest_limit() -> None:
    meter = Meter(Behaviour(rpm=60, tpm=600, style="second"), 0)
    assert meter.arrive(0, 40, 1, 1).admitted
    verdict = meter.arrive(0, 40, 1, 1)
    assert (verdict.refused_by, verdict.wait_us) == ("tpm", 4 * SECOND_US)
    assert not meter.arrive(4 * SECOND_US - 1, 40, 1, 1).admitted
    assert meter.arrive(4 * SECOND_US, 40, 1, 1).admitted


def test_output_that_is_charged_as_it_is_produced_needs_room_at_arrival() -> None:
    meter = Meter(Behaviour(otpm=100, style="fixed-minute", profile="anthropic"), 0)
    first, second = meter.arrive(0, 10, 90, 90), meter.arrive(0, 10, 90, 90)
    assert first.receipt is not None
    assert second.receipt is not None
    meter.finish(1, first.receipt, 90)
    assert meter.arrive(1, 10, 90, 90).admitted
    meter.finish(2, second.receipt, 90)
    verdict = meter.arrive(2, 10, 90, 90)
    assert (verdict.refused_by, verdict.wait_us) == ("otpm", MINUTE_US - 2)
    assert verdict.standings["otpm"].remaining == 0


def test_time_does_not_go_back() -> None:
    meter = Meter(Behaviour(rpm=60, style="second"), 0)
    assert meter.arrive(SECOND_US, 1, 1, 1).at_us == SECOND_US
    late = meter.arrive(SECOND_US - 1, 1, 1, 1)
    assert (late.at_us, late.wait_us) == (SECOND_US, SECOND_US)


def test_who_owes_nothing_in_the_end_does_not_move_the_time() -> None:
    meter = Meter(Behaviour(rpm=60, tpm=LIMIT, style="second"), 0)
    verdict = meter.arrive(0, 1, 1, 1)
    assert verdict.receipt is not None
    meter.finish(2 * SECOND_US, verdict.receipt, 1)
    assert meter.arrive(SECOND_US, 1, 1, 1).at_us == SECOND_US


def test_no_limits_admit_everything() -> None:
    verdict = Meter(Behaviour(), 0).arrive(0, 10**9, None, 10**9)
    assert (verdict.admitted, verdict.wait_us, verdict.standings) == (True, 0, {})


def test_what_is_not_charged_uses_nothing_but_is_refused_like_any_other() -> None:
    meter = Meter(Behaviour(rpm=60, tpm=LIMIT), 0)
    for _ in range(5):
        verdict = meter.arrive(0, 1, 1, 1, charge=False)
        assert (verdict.admitted, verdict.receipt) == (True, None)
    assert meter.arrive(0, 1, 1, 1).admitted
    assert not meter.arrive(0, 1, 1, 1, charge=False).admitted


@pytest.mark.parametrize("counted", [False, True])
def test_refusals_count_against_the_requests_of_a_provider_that_counts_them(counted: bool) -> None:
    meter = Meter(Behaviour(rpm=100, rpd=100, tpm=100, style="fixed-minute", refusals_count=counted), 0)
    assert meter.arrive(0, 99, 1, 1).admitted
    assert not meter.arrive(0, 99, 1, 1).admitted
    meter.count_refusal(0)
    requests = 3 if counted else 1
    assert used(meter) == {"rpm": requests, "tpm": 100, "rpd": requests}


def test_changed_limits_keep_what_was_used() -> None:
    meter = Meter(Behaviour(rpm=600, tpm=600, style="fixed-minute"), 0)
    verdict = meter.arrive(0, 100, 100, 100)
    meter.change(Behaviour(rpm=300, tpm=600, itpm=50, style="fixed-minute", profile="bedrock", latency_sigma=1), 0)
    assert used(meter) == {"rpm": 1, "tpm": 200, "itpm": 0}
    assert verdict.receipt is not None
    meter.finish(0, verdict.receipt, 0)
    assert used(meter)["tpm"] == 200, "it was charged by the profile of its arrival"


def test_another_style_begins_anew_but_the_day_goes_on() -> None:
    meter = Meter(Behaviour(rpm=300, rpd=1_000, style="fixed-minute"), 0)
    assert meter.arrive(0, 1, 1, 1).admitted
    meter.change(Behaviour(rpm=300, rpd=1_000, style="second"), 0)
    assert meter.look(0)["rpm"] == (300, 5, 0)
    assert meter.look(0)["rpd"].remaining == 999


def test_a_sharer_takes_its_share_evenly() -> None:
    meter = Meter(Behaviour(rpm=600, tpm=6_000, style="fixed-minute", sharer=0.25), 0)
    shares = [used(meter, second * SECOND_US) for second in (0, 10, 30)]
    assert shares == [{"rpm": 25 * part, "tpm": 250 * part} for part in (0, 1, 3)]


def test_a_sharer_calls_once_a_second_where_requests_have_no_limit() -> None:
    meter = Meter(Behaviour(tpm=1_000, tpd=14_400, style="fixed-minute", sharer=0.5), 0)
    assert used(meter, SECOND_US - 1) == {"tpm": 0, "tpd": 0}
    assert used(meter, SECOND_US) == {"tpm": 8, "tpd": 0}
    assert used(meter, 30 * SECOND_US) == {"tpm": 250, "tpd": 2}
    assert used(meter, 24 * MINUTE_US)["tpd"] == 120


@given(st.lists(st.integers(0, 10 * MINUTE_US), max_size=20), st.sampled_from(["bucket", "second", "sliding-minute"]))
def test_it_does_not_matter_to_a_sharer_how_often_others_look(times: list[int], style: str) -> None:
    behaviour = Behaviour(rpm=70, tpm=1_000, style=style, sharer=0.3)  # type: ignore[arg-type]
    watched, left_alone = Meter(behaviour, 0), Meter(behaviour, 0)
    for now_us in sorted(times):
        watched.look(now_us)
    assert watched.look(10 * MINUTE_US) == left_alone.look(10 * MINUTE_US)


def test_a_sharer_is_refused_like_anybody() -> None:
    meter = Meter(Behaviour(rpm=10, style="fixed-minute", sharer=0.5, refusals_count=True), 0)
    for _ in range(10):
        assert meter.arrive(0, 1, 1, 1).admitted
    assert used(meter, MINUTE_US - 1) == {"rpm": 10}
    assert used(meter, MINUTE_US) == {"rpm": 1}


def test_with_a_sharer_another_gets_the_rest_of_a_minute() -> None:
    meter = Meter(Behaviour(rpm=600, style="second", sharer=0.4), 0)
    admitted = sum(meter.arrive(now_us, 1, 1, 1).admitted for now_us in range(0, MINUTE_US, 10_000))
    assert 360 <= admitted <= 600
    assert meter.look(MINUTE_US - 1)["rpm"].remaining == 0
