"""Reads a provider's key from where the settings say it is. It goes to the upstream's own headers and nowhere else."""

import os
from collections.abc import Mapping
from pathlib import Path

from sluicegate_worker.settings import SettingsError, Upstream


def read_api_key(upstream: Upstream, environ: Mapping[str, str] = os.environ) -> str | None:
    """None where no key is needed. Raises SettingsError where one is named and not there, or cannot be a header."""
    if upstream.api_key_env is not None:
        key, where = environ.get(upstream.api_key_env), f"the environment variable {upstream.api_key_env}"
    elif upstream.api_key_file is not None:
        where = f"the file {upstream.api_key_file}"
        try:
            key = Path(upstream.api_key_file).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise SettingsError(f"upstream {upstream.name}: {where} cannot be read ({error})") from error
    else:
        return None
    key = (key or "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise SettingsError(f"upstream {upstream.name}: {where} holds no usable key; set it, or leave the setting out")
    return key
