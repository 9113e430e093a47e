"""`python -m bench NAME …`: the benchmarks by name."""

import click

from bench.end_to_end.command import command as end_to_end
from bench.herd.command import command as herd
from bench.scale.command import command as scale
from bench.scheduling.command import command as scheduling
from bench.sizing.command import command as sizing
from bench.streams.command import command as streams
from bench.throughput.command import command as throughput


@click.group()
def main() -> None:
    """Measure Sluicegate, and what people use instead of it, on this machine."""


main.add_command(end_to_end)
main.add_command(herd)
main.add_command(scale)
main.add_command(scheduling)
main.add_command(sizing)
main.add_command(streams)
main.add_command(throughput)

if __name__ == "__main__":
    main(prog_name="scripts/bench")
