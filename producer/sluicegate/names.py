"""Names and ids: what they may look like, because they become part of key names and of log lines."""

import os
import re
import time

from sluicegate.errors import InvalidRequest

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
KEY_LENGTH_MAX = 256


def check_name(what: str, name: str) -> str:
    """Returns `name`, or raises InvalidRequest: braces, colons or line ends would change which key it names."""
    if not isinstance(name, str) or not NAME.match(name):
        raise InvalidRequest(f"{what} must be 1 to 64 of the characters A-Z a-z 0-9 . _ -, not {name!r:.80}")
    return name


def check_idempotency_key(key: str) -> str:
    """Returns `key`, or raises InvalidRequest; any printable ASCII text up to 256 characters serves."""
    if not isinstance(key, str) or not 0 < len(key) <= KEY_LENGTH_MAX or not key.isascii() or not key.isprintable():
        raise InvalidRequest(f"key must be 1 to {KEY_LENGTH_MAX} printable ASCII characters, not {key!r:.80}")
    return key


def new_id() -> str:
    """A fresh UUIDv7 (RFC 9562 §5.7) as text: ids made later sort later, so that a list of them reads like a log."""
    at, chance = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10)
    text = chance.hex()
    return f"{at[:8]}-{at[8:]}-7{text[1:4]}-{'89ab'[chance[0] >> 6]}{text[5:8]}-{text[8:]}"
