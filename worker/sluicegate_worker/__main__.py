"""The command `sluicegate`, or `python -m sluicegate_worker`: says what to install when click is missing."""

import importlib.util
import os
import signal
import sys


def main() -> None:
    if os.getpid() == 1:  # in a container: the kernel drops what the first process does not handle
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if importlib.util.find_spec("click") is None:
        print("sluicegate's commands need: pip install 'sluicegate[worker]'", file=sys.stderr)  # noqa: T201  # no click, no echo
        sys.exit(2)
    from sluicegate_worker.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
