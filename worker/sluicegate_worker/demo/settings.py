"""The settings of the demo's own dispatchers: a file, and an environment in which nothing overrides it."""

import os

POOL = "chat"


def write_settings(redis_url: str, provider_url: str, rpm: int) -> str:
    """The text of a sluicegate.toml with one pool and one upstream."""
    return f"""\
redis_url = "{redis_url}"

[pools.{POOL}]

[[pools.{POOL}.upstreams]]
name = "simulator"
provider = "openai"
base_url = "{provider_url}"
rpm = {rpm}
"""


def read_plain_environment() -> dict[str, str]:
    """This process's environment without Sluicegate's variables: they may name a server with real work on it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SLUICEGATE_")}
