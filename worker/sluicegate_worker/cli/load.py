"""`sluicegate load`: offers load to a pool and reports what became of it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
from click.core import ParameterSource

from sluicegate.submission import DEADLINE_S_MAX
from sluicegate_worker.cli.numbers import Finite, positive
from sluicegate_worker.cli.options import json_option, redis_url_option
from sluicegate_worker.cli.output import EXIT_BAD_NEWS, EXIT_OK, EXIT_USAGE, complain, fail, print_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluicegate_worker.demo.load import Load
    from sluicegate_worker.demo.records import Call, Record
    from sluicegate_worker.demo.report import Report, Run
    from sluicegate_worker.demo.traces import TraceRow

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
DURATION_S = 30.0
NOT_WITH_TRACE = {"hogs": "--hogs", "hog_factor": "--hog-factor", "rate": "--rate"}


@click.command("load")
@click.option("--pool", metavar="NAME", help="The pool.  [default: $SLUICEGATE_POOL, or the only one there is]")
@click.option(
    "--agents", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Agents, hogs included."
)
@click.option(
    "--hogs", type=click.IntRange(0), default=0, show_default=True, help="Agents that ask for more than others."
)
@click.option(
    "--hog-factor", type=positive(1_000_000), default=10, show_default=True, help="How many times as much each of them."
)
@click.option(
    "--rate", type=positive(100_000), default=10, show_default=True, help="Requests a second, of all agents together."
)
@click.option(
    "--duration", type=positive(86_400), help="Seconds for which agents ask.  [default: 30, or the whole trace]"
)
@click.option(
    "--trace",
    type=FILE,
    help="Replay a CSV with TIMESTAMP,ContextTokens,GeneratedTokens; its rows go to the agents in turn.",
)
@click.option(
    "--speed", type=positive(1_000_000), default=1, show_default=True, help="How many times as fast as it was recorded."
)
@click.option(
    "--deadline", type=Finite(0.001, DEADLINE_S_MAX), help="Seconds that each request may take.  [default: the pool's]"
)
@click.option("--seed", type=int, default=1, show_default=True, help="Repeats the same arrivals.")
@click.option("--out", type=click.File("wb", lazy=False), help="Write a JSON line for each request here.")
@click.option(
    "--provider-log",
    type=FILE,
    help="The log of a simulate-provider on this machine: what it saw goes into the report.",
)
@redis_url_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    *,
    pool: str | None,
    agents: int,
    hogs: int,
    hog_factor: float,
    rate: float,
    duration: float | None,
    trace: Path | None,
    speed: float,
    deadline: float | None,
    seed: int,
    out: BinaryIO | None,
    provider_log: Path | None,
    redis_url: str | None,
    as_json: bool,
) -> int:
    """Offer load to a pool and report what became of it.

    Agents ask at random moments, whether answered or not, or as a trace says. The command ends when every request that
    was accepted has its outcome.
    """
    _check_options(context, agents, hogs)
    from sluicegate.settings import resolve_settings
    from sluicegate_worker.demo.load import Load
    from sluicegate_worker.demo.records import write_records
    from sluicegate_worker.demo.report import correct_sends, make_report
    from sluicegate_worker.demo.traffic import name_agents, plan_random, plan_trace
    from sluicegate_worker.settings_file import resolve_redis_url_here

    crew = name_agents(agents, hogs)
    if trace is None:
        plan = plan_random(crew, hog_factor, rate, DURATION_S if duration is None else duration, seed)
    else:
        plan = plan_trace(crew, _read_trace(trace, speed), duration)
    load = Load(resolve_redis_url_here(redis_url, None), resolve_settings(None, pool, None).pool, plan, deadline)
    records, run, calls = _offer(load, provider_log, live=not as_json)
    if out is not None:
        write_records(out, correct_sends(records, calls or ()))
    report = make_report(run, records, calls)
    _print(report, records, as_json)
    return EXIT_BAD_NEWS if report.lost else EXIT_OK


def _offer(load: "Load", provider_log: Path | None, *, live: bool) -> "tuple[list[Record], Run, list[Call] | None]":
    import uvloop

    from sluicegate_worker.demo.load import run_load
    from sluicegate_worker.demo.records import LogError, read_calls, read_settled_calls

    began_at = time.time()
    try:
        if provider_log is not None:
            read_calls(provider_log, began_at)  # a file that is no log is refused before anything is offered
        records, run = uvloop.run(run_load(load, live=live))
        calls = None if provider_log is None else read_settled_calls(provider_log, began_at, records)
    except LogError as error:
        fail(str(error), EXIT_USAGE)
    return records, run, calls


def _check_options(context: click.Context, agents: int, hogs: int) -> None:
    given = {
        name: context.get_parameter_source(name) is not ParameterSource.DEFAULT
        for name in (*NOT_WITH_TRACE, "speed", "trace")
    }
    for name, option in NOT_WITH_TRACE.items():
        if given["trace"] and given[name]:
            raise click.UsageError(f"{option} does not go with --trace, which says who asks when")
    if given["speed"] and not given["trace"]:
        raise click.UsageError("--speed is that of a --trace; give --rate instead")
    if hogs > agents:
        raise click.UsageError(f"--hogs {hogs} of --agents {agents}: hogs are some of the agents")


def _read_trace(path: Path, speed: float) -> "list[TraceRow]":
    from sluicegate_worker.demo.traces import TraceError, read_trace

    try:
        return read_trace(path, speed)
    except TraceError as error:
        fail(str(error), EXIT_USAGE)


def _print(report: "Report", records: "Sequence[Record]", as_json: bool) -> None:
    from sluicegate_worker.demo.summary import summarise

    refusals = [record.error for record in records if record.state == "refused"]
    if refusals:
        complain(f"{len(refusals)} requests were refused, the first because {refusals[0]}")
    if as_json:
        print_document(report)
    else:
        click.echo(summarise(report))
