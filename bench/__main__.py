"""`python -m bench NAME …`: the benchmarks by name."""

import click

from bench.herd.command import command as herd


@click.group()
def main() -> None:
    """Measure Sluicegate, and what people use instead of it, on this machine."""


main.add_command(herd)

if __name__ == "__main__":
    main(prog_name="scripts/bench")
