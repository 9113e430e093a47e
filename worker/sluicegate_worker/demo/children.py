"""Starts child processes that never outlive this one, and ends them by pid.

On Linux the kernel kills them, whatever happens to us. Elsewhere (macOS) they end with an orderly exit of ours, but a
SIGKILL of ours leaves them running. Weakness: the kernel watches the *thread* that called `spawn`, so call it from one
that lives as long as the child should.
"""

import atexit
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

TETHER = Path(__file__).with_name("tether.py")


def spawn(
    args: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """A running `args`. In a session of its own, so that Ctrl-C reaches us alone and we decide who ends when."""
    command = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *map(str, args)]
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
    )
    atexit.register(stop, process)
    return process


def stop(process: subprocess.Popen[bytes], grace_s: float = 5.0) -> int:
    """Asks the child to end, kills it when `grace_s` was not enough; returns its exit code. Harmless when repeated."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
