"""`sluicegate simulate-provider`: runs the simulated provider until it is told to stop."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sluicegate_worker.cli.options import json_option
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_USAGE, fail, print_document

if TYPE_CHECKING:
    from sluicegate_worker.simulator.provider import SimulatedProvider

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("simulate-provider")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, show_default=True, help="0 takes a free port.")
@click.option("--port-file", type=FILE, help="Write the port here once it listens.")
@click.option("--profile", default="openai", show_default=True, help="openai, azure, anthropic or generic.")
@click.option("--rpm", type=int, help="Limit in requests per minute; no limit unless given, nor any of the next.")
@click.option("--tpm", type=int, help="In tokens per minute, counted as the provider counts them.")
@click.option("--itpm", type=int, help="In input tokens per minute.")
@click.option("--otpm", type=int, help="In output tokens per minute.")
@click.option("--rpd", type=int, help="In requests per day (UTC).")
@click.option("--tpd", type=int, help="In tokens per day (UTC).")
@click.option(
    "--style",
    default="bucket",
    show_default=True,
    help="How limits per minute are enforced: bucket, second, ten-seconds, sliding-minute or fixed-minute.",
)
@click.option("--refusals-count", is_flag=True, help="A 429 counts against the request limits too.")
@click.option(
    "--sharer", type=float, default=0.0, show_default=True, help="Share of every limit that another client takes."
)
@click.option("--latency-median-s", type=float, default=0.2, show_default=True, help="Median of the service time.")
@click.option("--latency-sigma", type=float, default=0.3, show_default=True, help="Its log-normal spread; 0 for none.")
@click.option("--fail-rate", type=float, default=0.0, show_default=True, help="Share of calls that end in a 500.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[=VALUE]",
    help="5xx=SHARE (500 or 503), hang=SHARE (no answer ever), slow=FACTOR, slow_down=SHARE and "
    "insufficient_quota=SHARE (429), overloaded=SHARE (503 or 529), cut=SHARE (half of the answer, then the connection "
    "closes), revoked (401 to every call); may be repeated.",
)
@click.option("--seed", type=int, help="The same seed and order of arrival give the same times and failures.")
@click.option("--log", type=FILE, help="Append a JSON line per request as it ends.")
@json_option
def command(
    *,
    host: str,
    port: int,
    port_file: Path | None,
    faults: tuple[str, ...],
    seed: int | None,
    log: Path | None,
    as_json: bool,
    **limits_and_latency: object,
) -> None:
    """Run a server that speaks a provider's API, with its limits and with faults.

    It prints its URL and listens until SIGTERM or SIGINT. GET /_sim shows its limits, service time and faults; POST
    /_sim with a JSON object of the same fields changes them while it runs. Every API key is accepted,
    and answers are streamed to those who ask for it.
    """
    import uvloop

    from sluicegate_worker.port_file import PortFileBroken
    from sluicegate_worker.simulator.behaviour import Behaviour, InvalidBehaviour, change_behaviour
    from sluicegate_worker.simulator.faults import parse_faults
    from sluicegate_worker.simulator.process import LogBroken, serve_until_signal
    from sluicegate_worker.simulator.provider import CannotStart, SimulatedProvider

    try:
        behaviour = change_behaviour(Behaviour(), limits_and_latency | {"faults": parse_faults(faults)})
        provider = SimulatedProvider(behaviour, host=host, port=port, seed=seed, log=log)
        uvloop.run(serve_until_signal(provider, port_file, _print_json if as_json else _print_url))
    except (InvalidBehaviour, CannotStart, PortFileBroken) as error:
        fail(str(error), EXIT_USAGE)
    except LogBroken as error:
        fail(str(error), EXIT_BAD_NEWS)


def _print_url(provider: "SimulatedProvider") -> None:
    click.echo(provider.url)


def _print_json(provider: "SimulatedProvider") -> None:
    print_document({"schema": 1, "url": provider.url, "port": provider.port, "pid": os.getpid()})
