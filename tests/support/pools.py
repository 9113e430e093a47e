"""Settings of pools whose upstream is an HTTP server, and a body to send there."""

from collections.abc import Mapping
from typing import Any

from sluicegate_worker.settings import Pool, Retry, Settings, Upstream
from support.served_pool import POOL

QUICK_RETRY = Retry(max_attempts=3, base_s=0.01, cap_s=0.02)
NOWHERE = "http://127.0.0.1:9/v1"  # for pools that nobody serves


def make_settings(
    redis_url: str, base_url: str = NOWHERE, *, upstream: Mapping[str, Any] | None = None, **rules: Any
) -> Settings:
    """One pool `chat` with one upstream `a`; `rules` are the pool's settings, `upstream` those of the upstream."""
    return Settings(redis_url=redis_url, pools={POOL: make_pool(base_url, upstream=upstream, **rules)})


def make_pool(base_url: str = NOWHERE, *, upstream: Mapping[str, Any] | None = None, **rules: Any) -> Pool:
    destination: dict[str, Any] = {"name": "a", "provider": "openai", "base_url": base_url, **(upstream or {})}
    if "handler" in destination:
        del destination["base_url"]
    return Pool(upstreams=(Upstream(**destination),), **{"retry": QUICK_RETRY, **rules})


def chat(text: str = "hello", **fields: Any) -> dict[str, Any]:
    """A body that a chat completion may have."""
    return {"model": "small", "messages": [{"role": "user", "content": text}], **fields}
