"""Makes an upstream's words fit for logs and histories: one printable line, bounded, without anything like a key.
Pure."""

import re

CHARACTERS_MAX = 300
_SECRET = re.compile(
    r"(?i)(bearer\s+\S+|\b(?:sk|key|pk|rk)-[A-Za-z0-9_*.-]{6,}|(?:api[-_]?key|authorization)\S*\s*[:=]?\s*\S+)"
)


def redact(text: str) -> str:
    line = " ".join(_SECRET.sub("[redacted]", text[: CHARACTERS_MAX * 4]).split())
    return "".join(char if char.isprintable() else "?" for char in line)[:CHARACTERS_MAX]
