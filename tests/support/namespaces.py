"""Whether this machine lets a test have processes of its own."""

import subprocess
from functools import cache

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child")
UNAVAILABLE = "needs Linux, and the right to make a namespace of processes"


@cache
def cannot_unshare() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode != 0
    except OSError:
        return True
