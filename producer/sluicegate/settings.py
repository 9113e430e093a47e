"""What a producer must know, and where it comes from when the code does not say: three environment variables."""

import os
from collections.abc import Mapping

from msgspec import Struct

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


class ProducerSettings(Struct, frozen=True):
    """Where Redis is, and the pool and agent of requests that name none."""

    redis_url: str
    pool: str | None
    agent: str | None


def resolve_settings(
    redis_url: str | None, pool: str | None, agent: str | None, environ: Mapping[str, str] = os.environ
) -> ProducerSettings:
    """Arguments win over `SLUICEGATE_REDIS_URL`, `SLUICEGATE_POOL` and `SLUICEGATE_AGENT`."""
    return ProducerSettings(
        redis_url=redis_url or environ.get("SLUICEGATE_REDIS_URL") or DEFAULT_REDIS_URL,
        pool=pool or environ.get("SLUICEGATE_POOL") or None,
        agent=agent or environ.get("SLUICEGATE_AGENT") or None,
    )
