"""What the scripts read of a policy: prices rounded so that no rate is exceeded, and who could admit which request."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.policy_settings import Breaker, Policy, UpstreamPolicy
from sluicegate_worker.script_terms import lua_pattern, paced_rate, pool_price_us, price_us, script_fields

MINUTE_US = 60_000_000


def make(name: str = "a", provider: str = "openai", headroom: float = 0, **limits: Any) -> UpstreamPolicy:
    return UpstreamPolicy(name=name, provider=provider, headroom=headroom, **limits)


def fields_of(*upstreams: UpstreamPolicy, **rules: Any) -> dict[str, Any]:
    return dict(script_fields(Policy(upstreams=upstreams or (make(),), **rules)))


@given(rpm=st.floats(0.001, 60_000_000), headroom=st.floats(0, 0.99))
def test_a_price_never_exceeds_the_rate_and_is_less_than_a_microsecond_too_high(rpm: float, headroom: float) -> None:
    price = price_us(make(rpm=rpm, headroom=headroom))
    exact = MINUTE_US / (rpm * (1 - headroom))
    assert price - 1 <= exact <= price


def test_headroom_is_kept_in_every_dimension() -> None:
    upstream = make(rpm=1000, tpm=100, itpm=80, otpm=20, headroom=0.025)
    rates = [paced_rate(upstream, dimension) for dimension in ("rpm", "tpm", "itpm", "otpm")]
    assert rates == pytest.approx([975, 97.5, 78, 19.5])
    fields = fields_of(upstream)
    prices = [fields[f"{dimension}_price_us:a"] for dimension in ("tpm", "itpm", "otpm")]
    assert prices == pytest.approx([MINUTE_US / rate for rate in (97.5, 78, 19.5)])
    assert fields["headroom:a"] == 0.025


def test_what_has_no_limit_has_no_price() -> None:
    assert (price_us(make()), paced_rate(make(), "rpm"), pool_price_us(Policy(upstreams=(make(),)))) == (0, None, 0)
    fields = fields_of()
    assert fields["price_us:a"] == 0  # it says that there is such an upstream
    assert not {"tpm_price_us:a", "itpm_price_us:a", "otpm_price_us:a", "rpd:a", "tpd:a"} & fields.keys()
    assert [fields[f"{dimension}price_us"] for dimension in ("", "tpm_", "itpm_", "otpm_")] == [0, 0, 0, 0]


def test_a_pool_is_as_fast_as_all_its_upstreams_together() -> None:
    fields = fields_of(make(rpm=600, tpm=600), make("b", rpm=5400))
    assert (fields["price_us"], fields["tpm_price_us"]) == (10_000, 0)  # b takes any number of tokens
    fields = fields_of(make(rpm=600, tpm=600), make("b", tpm=1400))
    assert (fields["price_us"], fields["tpm_price_us"]) == (0, 30_000)
    assert fields["upstreams"] == "a b"


@pytest.mark.parametrize(
    ("upstreams", "most"),
    [
        ([make()], (0, 0, 0)),
        ([make(tpm=1000)], (1000, 1000, 0)),
        ([make(tpm=1000, tpd=400)], (400, 400, 0)),
        ([make(tpm=1000, itpm=700, otpm=300)], (1000, 700, 300)),
        ([make(provider="anthropic", tpm=1000, otpm=300)], (0, 1000, 0)),  # output counts as it comes
        ([make(provider="gemini", tpm=1000, otpm=300)], (0, 1000, 0)),
        ([make(tpm=1000), make("b", tpm=3000)], (3000, 3000, 0)),  # one that admits it is enough
        ([make(tpm=1000), make("b")], (0, 0, 0)),
        ([make(tpm=1000), make("b", provider="gemini", tpm=500)], (0, 1000, 0)),
        ([make(tpm=0.5)], (1, 1, 0)),
    ],
)
def test_how_large_a_request_may_be_that_some_upstream_admits(
    upstreams: list[UpstreamPolicy], most: tuple[int, int, int]
) -> None:
    fields = fields_of(*upstreams)
    assert tuple(fields[name] for name in ("max_tokens", "max_tokens_in", "max_tokens_out")) == most


@pytest.mark.parametrize(
    ("provider", "reserves_max", "counts_output"),
    [("openai", 1, 1), ("anthropic", 0, 1), ("gemini", 0, 0), ("bedrock", 1, 1), ("generic", 1, 1)],
)
def test_how_a_provider_counts_goes_along(provider: str, reserves_max: int, counts_output: int) -> None:
    fields = fields_of(make(provider=provider))
    assert (fields["reserves_max:a"], fields["counts_output:a"]) == (reserves_max, counts_output)


def test_times_are_whole_microseconds_and_limits_whole_numbers() -> None:
    fields = fields_of(
        make(burst_s=0.5, rpd=10.2, tpd=1000),
        breaker=Breaker(failures=7, share=0.25, open_s=0.0015, cap_s=2),
        max_tokens_per_agent=99.5,
        tokens_window_s=3600,
        max_in_flight_per_agent=3,
    )
    expected = {
        "burst_us:a": 500_000, "rpd:a": 11, "tpd:a": 1000, "breaker_failures": 7, "breaker_share": 0.25,
        "breaker_open_us": 1500, "breaker_cap_us": 2_000_000, "agent_tokens": 100, "agent_window_us": 3_600_000_000,
        "max_in_flight_per_agent": 3,
    }  # fmt: skip
    assert {name: fields[name] for name in expected} == expected
    assert (fields_of()["max_in_flight_per_agent"], fields_of()["agent_tokens"]) == (0, 0)  # any number


def test_weights_keep_their_order() -> None:
    assert fields_of(weights={"plan-*": 4, "*": 0.5})["weights"] == '[["^plan%-.*$",4],["^.*$",0.5]]'


@pytest.mark.parametrize(
    ("pattern", "lua"),
    [
        ("ann", "^ann$"),
        ("a.b-c_d", "^a%.b%-c_d$"),
        ("a?*", "^a..*$"),
        ("[ab]x", "^[ab]x$"),
        ("[-.]", "^[%.%-]$"),
        ("[b-d]", "^[bcd]$"),
        ("[!]", "^[^%w%W]$"),  # no class at all, and no name has such characters
        ("[", "^%[$"),
        ("100%", "^100%%$"),
    ],
)
def test_a_shell_pattern_as_lua_writes_it(pattern: str, lua: str) -> None:
    assert lua_pattern(pattern) == lua
