"""What a good answer teaches, in the words that `settle.lua` reads."""

import pytest

from sluicegate_worker.upstream.lessons import write_reported, write_usage

OPENAI = {"prompt_tokens": 100, "completion_tokens": 40, "prompt_tokens_details": {"cached_tokens": 60}}
ANTHROPIC = {"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 40}
GEMINI = {"promptTokenCount": 100, "candidatesTokenCount": 40}


@pytest.mark.parametrize(
    ("provider", "usage", "asked", "words"),
    [
        ("openai", OPENAI, 500, "100 500 100 40"),  # counts what was asked for; the agent pays for what was used
        ("openai", OPENAI, 10, "100 40 100 40"),
        ("openai", OPENAI, -1, "100 40 100 40"),  # nobody said how much
        ("openai", OPENAI, 0, "100 40 100 40"),
        ("anthropic", ANTHROPIC, 500, "40 40 100 40"),  # what comes from the cache does not count
        ("gemini", GEMINI, 500, "100 40 100 40"),
        ("generic", OPENAI, 500, "100 40 100 40"),
        ("openai", {"prompt_tokens": 8}, -1, "8 0 8 0"),  # an embedding
    ],
)
def test_what_was_counted_and_what_was_used(provider: str, usage: dict[str, object], asked: int, words: str) -> None:
    assert write_usage(provider, usage, asked) == words


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "many"}, {"total_tokens": 7}, {"prompt_tokens": -1}])
def test_what_is_not_said_teaches_nothing(usage: dict[str, object] | None) -> None:
    assert write_usage("openai", usage, 500) == ""


def test_reported_limits_in_four_words_each() -> None:
    headers = {
        "x-ratelimit-limit-requests": "3000",
        "x-ratelimit-remaining-requests": "2999",
        "x-ratelimit-reset-requests": "20ms",
        "x-ratelimit-limit-tokens": "90000",
    }
    assert write_reported("openai", headers, 0.0).split() == ["rpm", "3000", "2999", "20000", "tpm", "90000", "-", "-"]
    assert write_reported("openai", {}, 0.0) == ""
    assert write_reported("openai", {"x-ratelimit-limit-requests": "soon"}, 0.0) == ""
