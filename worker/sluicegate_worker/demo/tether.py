"""Becomes the given command, killed by the kernel when the parent ends: `python tether.py PARENT_PID COMMAND…`.

Linux only has the call for it; elsewhere the command simply runs. It is a program of its own, and not a `preexec_fn`,
because code between fork and exec can deadlock in a parent that has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"cannot tie {command[0]} to its parent: {os.strerror(ctypes.get_errno())}")
        if os.getppid() != parent_pid:  # it ended before the call: no signal will come
            sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
