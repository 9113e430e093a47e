"""The command `sluicegate`, or `python -m sluicegate_worker`: says what to install when click is missing."""

import importlib.util
import sys


def main() -> None:
    if importlib.util.find_spec("click") is None:
        print("sluicegate's commands need: pip install 'sluicegate[worker]'", file=sys.stderr)  # noqa: T201  # no click, no echo
        sys.exit(2)
    from sluicegate_worker.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
