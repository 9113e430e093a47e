"""`python -m bench NAME …`: the benchmarks by name."""

import click

from bench.herd.command import command as herd
from bench.scheduling.command import command as scheduling


@click.group()
def main() -> None:
    """Measure Sluicegate, and what people use instead of it, on this machine."""


main.add_command(herd)
main.add_command(scheduling)

if __name__ == "__main__":
    main(prog_name="scripts/bench")
