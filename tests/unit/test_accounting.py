"""What a call used, in each provider's words, and what its limits have counted of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_worker.upstream.accounting import ACCOUNTING, Accounting, Spent, charged, read_spent
from sluicegate_worker.upstream.profiles import AUTHORISATION
from support.properties import PROPERTY

CHAT = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 250},
}
RESPONSES = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 20},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 80},
    "total_tokens": 123,
}
ANTHROPIC = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 248,
    "cache_read_input_tokens": 1800,
    "cache_creation": {"ephemeral_5m_input_tokens": 248},
    "output_tokens": 503,
    "service_tier": "standard",
}
GEMINI = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 300,
    "toolUsePromptTokenCount": 7,
    "totalTokenCount": 427,
}
BEDROCK = {
    "inputTokens": 10,
    "outputTokens": 20,
    "totalTokens": 160,
    "cacheReadInputTokens": 100,
    "cacheWriteInputTokens": 30,
}


@pytest.mark.parametrize(
    ("usage", "spent"),
    [
        (CHAT, Spent(2006, 300, 1920)),
        ({"prompt_tokens": 8, "total_tokens": 8}, Spent(8, 0, 0)),
        (RESPONSES, Spent(36, 87, 20)),
        (ANTHROPIC, Spent(2098, 503, 1800)),
        ({"input_tokens": 12, "output_tokens": 6}, Spent(12, 6, 0)),
        ({"input_tokens": 12, "output_tokens": 6, "cache_read_input_tokens": None}, Spent(12, 6, 0)),
        (GEMINI, Spent(107, 320, 60)),
        ({"promptTokenCount": 5, "totalTokenCount": 5}, Spent(5, 0, 0)),
        (BEDROCK, Spent(140, 20, 100)),
        ({"inputTokens": 10, "outputTokens": 20, "totalTokens": 30}, Spent(10, 20, 0)),
        # A proxy that says it in two ways means the same tokens.
        ({**CHAT, "cache_read_input_tokens": 1920}, Spent(2006, 300, 1920)),
        ({**CHAT, "input_tokens": 2006, "output_tokens": 300}, Spent(2006, 300, 1920)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, Spent(5, 0, 5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": None}, Spent(5, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": -1}, Spent(5, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 1.5}, Spent(5, 0, 0)),
        ({"prompt_tokens": "5", "input_tokens": 6}, Spent(6, 0, 0)),
    ],
)
def test_what_was_used_in_each_providers_words(usage: dict[str, Any], spent: Spent) -> None:
    assert read_spent(usage) == spent


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"total_tokens": 5},
        {"completion_tokens": 5},
        {"prompt_tokens": -5},
        {"prompt_tokens": True},
        {"prompt_tokens": 10**10},
        {"prompt_tokens": 5.5},
        {"input_tokens": "5"},
        {"prompt_tokens": {"cached_tokens": 1}},
    ],
)
def test_without_input_it_is_not_known(usage: dict[str, Any] | None) -> None:
    assert read_spent(usage) is None


def test_every_provider_has_its_accounting() -> None:
    assert ACCOUNTING.keys() == AUTHORISATION.keys()


@pytest.mark.parametrize(
    ("provider", "asked_out", "counted"),
    [
        ("openai", 4000, (1000, 4000)),
        ("openai", 50, (1000, 200)),
        ("openai", 0, (1000, 200)),
        ("openai", None, (1000, 200)),
        ("azure", 4000, (1000, 4000)),
        ("anthropic", 4000, (400, 200)),
        ("gemini", 4000, (1000, 200)),
        ("bedrock", 4000, (400, 200)),
        ("generic", 4000, (1000, 200)),
        ("generic", None, (1000, 200)),
    ],
)
def test_what_the_limits_have_counted(provider: str, asked_out: int | None, counted: tuple[int, int]) -> None:
    assert charged(ACCOUNTING[provider], Spent(1000, 200, 600), asked_out) == counted


def test_a_cached_token_may_count_in_part_and_is_rounded_up() -> None:
    quarter = Accounting(reserves_max=False, refunds=False, counts_output=True, cache_reads=0.25)
    assert charged(quarter, Spent(10, 0, 2), None) == (9, 0)


USAGES = st.dictionaries(
    st.sampled_from([*CHAT, *RESPONSES, *ANTHROPIC, *GEMINI, *BEDROCK]),
    st.integers() | st.none() | st.floats() | st.text() | st.dictionaries(st.just("cached_tokens"), st.integers()),
)


@given(USAGES, st.sampled_from(sorted(ACCOUNTING)), st.none() | st.integers(0, 10**9))
@PROPERTY
def test_any_usage_is_counted_or_not_known(usage: dict[str, Any], provider: str, asked_out: int | None) -> None:
    spent = read_spent(usage)
    if spent is None:
        return
    assert 0 <= spent.cached <= spent.tokens_in
    tokens_in, tokens_out = charged(ACCOUNTING[provider], spent, asked_out)
    assert spent.tokens_in - spent.cached <= tokens_in <= spent.tokens_in
    assert spent.tokens_out <= tokens_out <= max(spent.tokens_out, asked_out or 0)
