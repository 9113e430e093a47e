"""Agents that call LiteLLM's proxy as if it were the provider, through OpenAI's SDK with its two retries."""

from bench.herd.columns.direct import open_column

__all__ = ["open_column"]
