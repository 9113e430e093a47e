"""The command line: finds the command that was typed, runs it, and turns every way it can end into an exit code."""

import importlib
import os
import sys
from typing import Any

import click

from sluicegate.errors import InvalidRequest, SluicegateError, StoreUnavailable
from sluicegate_worker.cli.naming import NamingGroup
from sluicegate_worker.cli.output import (
    EXIT_BAD_NEWS,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_STORE,
    EXIT_USAGE,
    complain,
)

# Here and not in the modules, so that --help imports none of them. A command's module has its name, with _ for -.
COMMANDS = {
    "demo": "Everything on this machine: agents, dispatchers, a simulated provider.",
    "dispatch": "Run a dispatcher.",
    "send": "Send one request by hand.",
    "status": "Where things stand.",
    "pending": "What waits, is in flight or delayed.",
    "dead": "What was given up.",
    "result": "The outcome of one request.",
    "cancel": "Cancel requests.",
    "pool": "The settings in force.",
    "doctor": "Whether all is well, and what to do where it is not.",
    "load": "Offer load and report what became of it.",
    "scaler": "How many replicas: KEDA's external scaler, and the same as JSON.",
    "simulate-provider": "A provider with limits and faults, on this machine.",
}


class LazyGroup(NamingGroup):
    """Imports a command's module only when that command runs or explains itself."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"sluicegate {version('sluicegate')}")
        except PackageNotFoundError:
            raise click.ClickException("not installed, so it has no version; install it with pip") from None
        ctx.exit()


@click.group(cls=LazyGroup)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def group() -> None:
    """Sluicegate: many agents, few rate-limited providers, one global rate."""


def run(arguments: list[str]) -> int:
    """Runs one command line and answers its exit code. A command may return one, or nothing when all is well."""
    try:
        code = _invoke(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return EXIT_BAD_NEWS
    except OSError as error:
        complain(f"{error.filename or 'the system'}: {error.strerror or error}")
        return EXIT_BAD_NEWS
    return code


def _invoke(arguments: list[str]) -> int:
    try:
        with group.make_context("sluicegate", arguments) as context:
            result: Any = group.invoke(context)
        return result if isinstance(result, int) else EXIT_OK
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_USAGE
    except click.UsageError as error:
        complain(_explain_usage(error))
        return EXIT_USAGE
    except click.ClickException as error:
        complain(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except SluicegateError as error:
        complain(str(error))
        return _exit_code_of(error)


def _explain_usage(error: click.UsageError) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    return message if error.ctx is None else f"{message} (see {error.ctx.command_path} --help)"


def _exit_code_of(error: SluicegateError) -> int:
    match error:
        case InvalidRequest():
            return EXIT_USAGE
        case StoreUnavailable():
            return EXIT_STORE
    return EXIT_BAD_NEWS


def _forget_stdout() -> None:
    """The reader has gone: nothing more can be said to it, also not by Python's own flush at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
