"""Finds and reads sluicegate.toml: flags go before the environment, that before the file, the file before defaults."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sluicegate_worker.settings import DEFAULT_REDIS_URL, Settings
from sluicegate_worker.settings_environment import CONFIG, POOLS, REDIS_URL, apply_environment, refuse_unknown_variables
from sluicegate_worker.settings_reading import SettingsError, read_fields

DEFAULT_FILE = "sluicegate.toml"


def load_settings_here(path: str | None, redis_url: str | None = None) -> Settings:
    """The settings of this process; both arguments are flags, None when not given."""
    return load_settings(path, os.environ, redis_url)


def find_settings_here(path: str | None, redis_url: str | None = None) -> Settings | None:
    """The same, but None where no file is named and none is there."""
    return None if _find_file(path, os.environ) is None else load_settings_here(path, redis_url)


def resolve_redis_url_here(redis_url: str | None, path: str | None) -> str:
    """The server of this process, for commands that need no pool's settings; both arguments are flags."""
    return resolve_redis_url(redis_url, os.environ, path)


def load_settings(path: str | None, environ: Mapping[str, str], redis_url: str | None = None) -> Settings:
    file = _find_file(path, environ)
    if file is None:
        raise SettingsError(f"there is no {DEFAULT_FILE} here; name the file by --config or {CONFIG}")
    text = _read_toml(file)
    try:
        found = read_fields(Settings, text, "")
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from None
    found["pools"] = apply_environment(found["pools"], environ)
    found["redis_url"] = _pick_redis_url(redis_url, environ) or found.get("redis_url", DEFAULT_REDIS_URL)
    return Settings(**found)


def resolve_redis_url(redis_url: str | None, environ: Mapping[str, str], path: str | None) -> str:
    """Needs no file, but follows one that is there; of that it looks at nothing else."""
    refuse_unknown_variables((name for name in environ if not name.startswith(POOLS)), ())
    chosen = _pick_redis_url(redis_url, environ)
    if chosen is not None:
        return chosen
    file = _find_file(path, environ)
    url = DEFAULT_REDIS_URL if file is None else _read_toml(file).get("redis_url", DEFAULT_REDIS_URL)
    if not isinstance(url, str) or not url:
        raise SettingsError(f"{file}: redis_url must be text, not empty, as in {DEFAULT_REDIS_URL}")
    return url


def _pick_redis_url(flag: str | None, environ: Mapping[str, str]) -> str | None:
    for name, url in (("--redis-url", flag), (REDIS_URL, environ.get(REDIS_URL))):
        if url == "":
            raise SettingsError(f"{name} is empty; leave it out or give a URL, as in {DEFAULT_REDIS_URL}")
        if url is not None:
            return url
    return None


def _find_file(flag: str | None, environ: Mapping[str, str]) -> Path | None:
    for name, path in (("--config", flag), (CONFIG, environ.get(CONFIG))):
        if path == "":
            raise SettingsError(f"{name} is empty; leave it out or name a file")
        if path is not None:
            return Path(path)
    default = Path(DEFAULT_FILE)
    return default if default.exists() else None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}; name another by --config or {CONFIG}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8 text (byte {error.start + 1}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from None
    except (ValueError, RecursionError):
        raise SettingsError(f"{file} has a number too long or tables too deep to read; make it plainer") from None
