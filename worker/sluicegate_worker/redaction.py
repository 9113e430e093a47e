"""Makes an upstream's words fit for logs and histories: one printable line, bounded, without anything like a key.
Pure."""

import re

CHARACTERS_MAX = 300
_SECRET = re.compile(
    r"""(?ix)
      (?:api[-_ ]?key|authorization|access[-_]token|secret)["']?\s*[:=]\s*["']?(?:(?:bearer|basic)\s+)?\S+
    | \b(?:bearer|basic)\s+\S+
    | (?<![a-z])key=\S+
    | \b(?:sk|pk|rk|gsk|xai|key)-[a-z0-9_*.-]{6,}
    | \bAIza[a-z0-9_*-]{6,}
    """
)


def redact(text: str) -> str:
    line = " ".join(_SECRET.sub("[redacted]", text[: CHARACTERS_MAX * 4]).split())
    return "".join(char if char.isprintable() else "?" for char in line)[:CHARACTERS_MAX]
