"""What a call has used, and what of it each provider's limits count in the end. Data, and pure functions over it."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct

_TOKENS_MAX = 1_000_000_000


class Accounting(Struct, frozen=True, kw_only=True):
    """How a provider counts tokens against its limits a minute."""

    reserves_max: bool  # what the answer may have at most counts as soon as the request arrives
    refunds: bool  # what of that was not used comes back when it ends
    counts_output: bool  # whether `tpm` is of output too
    cache_reads: float  # how much of a token read from the cache counts


ACCOUNTING: dict[str, Accounting] = {
    # "Usage needs are estimated from max_completion_tokens" (help.openai.com 5955604); nothing comes back before a
    # minute is over.
    "openai": Accounting(reserves_max=True, refunds=False, counts_output=True, cache_reads=1.0),
    # Prompt, max_tokens and best_of are estimated on arrival, reset each minute, and differ from the bill (Microsoft's
    # page on quota).
    "azure": Accounting(reserves_max=True, refunds=False, counts_output=True, cache_reads=1.0),
    # Output counts as it is made, "max_tokens does not factor"; cache reads are free but for a few old models (page on
    # rate limits).
    "anthropic": Accounting(reserves_max=False, refunds=False, counts_output=True, cache_reads=0.0),
    # TPM is of input alone (ai.google.dev, rate limits).
    "gemini": Accounting(reserves_max=False, refunds=False, counts_output=False, cache_reads=1.0),
    # Reserves input, cache and maxTokens, settles to what was used and releases cache reads (AWS's pages on quotas).
    "bedrock": Accounting(reserves_max=True, refunds=True, counts_output=True, cache_reads=0.0),
    # Nobody knows; an estimate that is settled is what proxies and compatible servers do.
    "generic": Accounting(reserves_max=True, refunds=True, counts_output=True, cache_reads=1.0),
}


class Spent(NamedTuple):
    """What a call really used. `tokens_in` is all input; `cached` is what of it was read from the cache."""

    tokens_in: int
    tokens_out: int
    cached: int


class _Wording(NamedTuple):
    """The names that a provider has for it, `a.b` for one inside another; those of a list are added up."""

    tokens_in: tuple[str, ...]  # the first tells whose wording it is
    tokens_out: tuple[str, ...]
    cached: tuple[str, ...]


_WORDINGS = (
    # OpenAI: chat, completions and embeddings.
    _Wording(("prompt_tokens",), ("completion_tokens",), ("prompt_tokens_details.cached_tokens",)),
    # OpenAI's responses, where the cached are part of the input, and Anthropic, where they stand beside it.
    _Wording(
        ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
        ("output_tokens",),
        ("input_tokens_details.cached_tokens", "cache_read_input_tokens"),
    ),
    # Gemini: the cached are part of the prompt; what its tools read and what it thinks stands beside.
    _Wording(
        ("promptTokenCount", "toolUsePromptTokenCount"),
        ("candidatesTokenCount", "thoughtsTokenCount"),
        ("cachedContentTokenCount",),
    ),
    # Bedrock's converse: what the cache has to do with stands beside the input.
    _Wording(
        ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"), ("outputTokens",), ("cacheReadInputTokens",)
    ),
)


def read_spent(usage: Mapping[str, Any] | None) -> Spent | None:
    """From what `classify.read_usage` found; None where it does not say how much went in."""
    if usage is None:
        return None
    for wording in _WORDINGS:
        if _tokens(usage, wording.tokens_in[0]) is not None:
            tokens_in = _total(usage, wording.tokens_in)
            return Spent(tokens_in, _total(usage, wording.tokens_out), min(_total(usage, wording.cached), tokens_in))
    return None


def charged(accounting: Accounting, spent: Spent, asked_out: int | None) -> tuple[int, int]:
    """Input and output that the provider has counted in the end; `asked_out` is the most that was asked for.

    Output is told whether or not `tpm` counts it: a limit on output alone does in any case.
    """
    tokens_in = spent.tokens_in - math.floor(spent.cached * (1 - accounting.cache_reads))
    if accounting.reserves_max and not accounting.refunds and asked_out is not None:
        return tokens_in, max(asked_out, spent.tokens_out)
    return tokens_in, spent.tokens_out


def _total(usage: Mapping[str, Any], names: tuple[str, ...]) -> int:
    total = 0
    for name in names:
        total += _tokens(usage, name) or 0
    return total


def _tokens(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    if value is None and "." in name:
        outer, _, inner = name.partition(".")
        value = usage.get(outer)
        value = value.get(inner) if isinstance(value, dict) else None
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else None
