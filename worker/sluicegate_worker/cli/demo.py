"""`sluicegate demo`: everything on this machine, a live view, then a summary."""

import click

from sluicegate_worker.cli.numbers import Finite, positive
from sluicegate_worker.cli.options import json_option
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_OK, EXIT_STORE, fail, print_document


@click.command("demo")
@click.option(
    "--agents", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Agents, hogs included."
)
@click.option("--hogs", type=click.IntRange(0), default=10, show_default=True, help="Agents that always want more.")
@click.option(
    "--rpm", type=click.IntRange(1, 60_000), default=1_200, show_default=True, help="The provider's limit, a minute."
)
@click.option("--dispatchers", type=click.IntRange(1, 64), default=2, show_default=True, help="Dispatcher processes.")
@click.option(
    "--duration",
    type=positive(86_400),
    default=30,
    show_default=True,
    help="Seconds for which agents ask; what waits then is still answered.",
)
@click.option(
    "--fail-rate",
    type=Finite(0, 1),
    default=0.01,
    show_default=True,
    help="Share of calls that the provider answers with a 500.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Repeats the same arrivals and failures.")
@json_option
def command(
    *, agents: int, hogs: int, rpm: int, dispatchers: int, duration: float, fail_rate: float, seed: int, as_json: bool
) -> int:
    """Run a server, a simulated provider, dispatchers and agents on this machine.

    The agents together ask for more than the provider's limit, a few of them for as much as they can get. Nothing is
    left behind.
    """
    if hogs > agents:
        raise click.UsageError(f"--hogs {hogs} of --agents {agents}: hogs are some of the agents")
    import signal

    from sluicegate_worker.demo.demo import Demo, run_demo
    from sluicegate_worker.demo.embedded import EmbeddedServerError
    from sluicegate_worker.demo.summary import summarise
    from sluicegate_worker.demo.world import WorldError

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: everything is stopped and deleted
    try:
        report = run_demo(Demo(agents, hogs, rpm, dispatchers, duration, fail_rate, seed), live=not as_json)
    except EmbeddedServerError as error:
        fail(str(error), EXIT_STORE)
    except WorldError as error:
        fail(str(error), EXIT_BAD_NEWS)
    if as_json:
        print_document(report)
    else:
        click.echo(summarise(report))
    return EXIT_BAD_NEWS if report.lost else EXIT_OK
