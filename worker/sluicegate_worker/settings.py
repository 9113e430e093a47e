"""What sluicegate.toml says, as structs: a `Settings` that exists is valid."""

import re
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field

from sluicegate.names import NAME
from sluicegate.paths import find_strangers
from sluicegate_worker.policy_settings import (
    Duration,
    Policy,
    PoolRules,
    Retry,
    Text,
    UpstreamPolicy,
    UpstreamRules,
    check_distinct,
    check_policy,
)
from sluicegate_worker.settings_reading import SettingsError, join, read_fields

__all__ = ["Policy", "Pool", "Retry", "Settings", "SettingsError", "Upstream", "policy_of"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


class Upstream(UpstreamRules, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key at one provider. What stands here, beside its rules, never leaves the dispatcher's own file."""

    base_url: Text | None = None
    handler: Text | None = None
    api_key_env: Text | None = None
    api_key_file: Text | None = None
    model_map: dict[Text, Text] = field(default_factory=dict)
    timeout_s: Duration = 120


class Pool(PoolRules, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One quota class: any upstream of the pool may answer any request of the pool."""

    upstreams: tuple[Upstream, ...]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a dispatcher must know. Making one that is wrong raises SettingsError."""

    redis_url: Text = DEFAULT_REDIS_URL
    pools: dict[str, Pool]

    def __post_init__(self) -> None:
        read_fields(Settings, self, "")
        if not self.pools:
            raise SettingsError("pools must have at least one pool; write [pools.NAME]")
        for name, pool in self.pools.items():
            path = join("pools", name)
            if not NAME.match(name):
                raise SettingsError(f"{path} must have a name of 1 to 64 of the characters A-Z a-z 0-9 . _ -")
            check_policy(policy_of(pool), path)
            _check_dialects(pool, path)
            for index, upstream in enumerate(pool.upstreams):
                _check_destination(upstream, f"{path}.upstreams[{index}]")
        check_distinct(self.pools, "pools")


def policy_of(pool: Pool) -> Policy:
    """The part of a pool that is written to Redis; built field by field, so that nothing else can slip in.

    Read once more, so that 60 and 60.0 become the same JSON, and a dispatcher can compare its file with Redis.
    """
    upstreams = tuple(UpstreamPolicy(**_fields_of(UpstreamRules, upstream)) for upstream in pool.upstreams)
    policy = Policy(**_fields_of(PoolRules, pool), upstreams=upstreams)
    return Policy(**read_fields(Policy, policy, "policy"))


def _fields_of(kind: type[Struct], source: Struct) -> dict[str, Any]:
    return {name: getattr(source, name) for name in kind.__struct_fields__}


def _check_dialects(pool: Pool, path: str) -> None:
    strangers = find_strangers([upstream.provider for upstream in pool.upstreams])
    if strangers is not None:
        one, other = strangers
        raise SettingsError(
            f"{path}.upstreams: any of them may get any request, but {one} and {other} have no path in common; "
            "give each a pool of its own"
        )


def _check_destination(upstream: Upstream, path: str) -> None:
    if (upstream.base_url is None) == (upstream.handler is None):
        found = "neither" if upstream.base_url is None else "both"
        raise SettingsError(f"{path} must have exactly one of base_url and handler, and has {found}")
    if upstream.base_url is not None:
        _check_base_url(upstream.base_url, f"{path}.base_url")
    if upstream.handler is not None and not _is_handler(upstream.handler):
        raise SettingsError(f"{path}.handler must be written as package.module:coroutine")
    if upstream.api_key_env is not None and upstream.api_key_file is not None:
        raise SettingsError(f"{path} must have at most one of api_key_env and api_key_file, and has both")
    if upstream.api_key_env is not None and not _VARIABLE.match(upstream.api_key_env):
        raise SettingsError(f"{path}.api_key_env must be the name of an environment variable, not the key itself")


def _check_base_url(url: str, path: str) -> None:
    """Never quotes the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError(f"{path} must be an http or https URL with a host, as in https://api.openai.com/v1")
    if "?" in url or "#" in url:
        raise SettingsError(f"{path} must end with its path; remove the query or fragment")
    if "@" in parts.netloc:
        raise SettingsError(f"{path} must hold no user or password; name the key by api_key_env or api_key_file")


def _is_handler(text: str) -> bool:
    module, colon, name = text.partition(":")
    return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))
